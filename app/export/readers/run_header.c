/* Runs an exported C header on images, for `handgrad export --verify`. HEADER is its path, PREFIX what its names begin with.
   Arguments: a file of pixels (a byte each, image after image), a file for the probabilities (float32). Each image goes
   through both entries, bytes and floats, and the classes of the two must agree unless they are as good as tied. With
   INT8 the header is one of int8: the file gets its logits, and the class that it finds in integers must have the largest. */
#include <stdio.h>
#include HEADER

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(suffix) JOIN(PREFIX, suffix)

int main(int argc, char **argv) {
  static unsigned char bytes[NAME(inputs)];
  static float pixels[NAME(inputs)];
  float values[NAME(classes)];
  float of_bytes[NAME(classes)];
  FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
  FILE *out = argc == 3 ? fopen(argv[2], "wb") : NULL;
  if (!in || !out) return 2;
  while (fread(bytes, 1, sizeof bytes, in) == sizeof bytes) {
    for (size_t i = 0; i < NAME(inputs); ++i) pixels[i] = (float)bytes[i] / 255.0f;
    NAME(logits)(values, pixels);
    NAME(logits_of_bytes)(of_bytes, bytes);
#ifdef INT8
    if (of_bytes[NAME(class_of_bytes)(bytes)] < of_bytes[NAME(best)(of_bytes)]) {
      fprintf(stderr, "error: integers and logits give different classes\n");
      return 3;
    }
    if (fwrite(of_bytes, sizeof of_bytes, 1, out) != 1) return 2;
#endif
    const int best = NAME(best)(values);
    NAME(softmax)(values);
    NAME(softmax)(of_bytes);
    int differ = values[best] - values[NAME(best)(of_bytes)] > 2e-5f;
    for (size_t c = 0; c < NAME(classes); ++c) {
      differ |= !(values[c] - of_bytes[c] <= 1e-5f && of_bytes[c] - values[c] <= 1e-5f);
    }
    if (differ) {
      fprintf(stderr, "error: bytes and floats give different probabilities\n");
      return 3;
    }
#ifndef INT8
    if (fwrite(of_bytes, sizeof of_bytes, 1, out) != 1) return 2;
#endif
  }
  return fclose(out) == 0 ? 0 : 2;
}
