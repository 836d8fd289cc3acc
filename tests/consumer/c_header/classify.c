/* Says which class a picture shows, with an exported C header alone: classify PICTURE.pgm. The header is model.h, of
   `handgrad export --format c-header --output model.h`, whose names begin with model_. The picture is a binary PGM file of just
   the size that the model takes, light on dark. */
#include <stdio.h>

#include "model.h"

int main(int argc, char **argv) {
  static unsigned char pixels[model_inputs];
  float probabilities[model_classes];
  unsigned columns, rows, white;
  int best;
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (!file) {
    fprintf(stderr, "usage: classify PICTURE.pgm, a file that can be read\n");
    return 2;
  }
  if (fscanf(file, "P5 %u %u %u", &columns, &rows, &white) != 3 || rows != model_rows || columns != model_columns || white != 255 ||
      fgetc(file) == EOF || fread(pixels, 1, model_inputs, file) != model_inputs) {
    fprintf(stderr, "error: %s is no binary PGM file of %d x %d bytes\n", argv[1], (int)model_rows, (int)model_columns);
    return 1;
  }
  fclose(file);
  model_logits_of_bytes(probabilities, pixels);
  model_softmax(probabilities);
  best = model_best(probabilities);
  printf("%d\t%.4f\n", best, (double)probabilities[best]);
  return 0;
}
