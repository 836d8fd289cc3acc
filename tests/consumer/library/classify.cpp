// Says which class a picture shows, with the installed library: classify MODEL PICTURE. The model may be any file that handgrad
// reads, the picture PNG, JPEG, TIFF, BMP, PNM or WebP, of any size, dark on light or light on dark.
#include <cstdio>

#include <handgrad/base/errors.h>
#include <handgrad/data/dataset.h>
#include <handgrad/data/digit_picture.h>
#include <handgrad/data/picture.h>
#include <handgrad/models/model_file.h>
#include <handgrad/platform/threads.h>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: classify MODEL PICTURE\n");
    return 2;
  }
  try {
    handgrad::set_threads(1);
    const handgrad::TorchScriptModel model = handgrad::load_classifier(argv[1]);
    const handgrad::IdxArray picture = handgrad::parse_picture(handgrad::read_file(argv[2]), argv[2]);
    const handgrad::IdxArray digit = handgrad::prepare_digits(picture, model.shape(), false, argv[2]);
    const at::Tensor pixels = handgrad::as_tensor(digit).flatten(1);
    const at::Tensor probabilities = model.log_probabilities(pixels).exp()[0];
    const auto best = probabilities.argmax().item<std::int64_t>();
    std::printf("%lld\t%.4f\n", static_cast<long long>(best), probabilities[best].item<double>());
  } catch (const handgrad::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
