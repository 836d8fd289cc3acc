// Says which class a picture shows, with LibTorch alone: classify MODEL.pt PICTURE.pgm. The picture is a PGM file of just the size
// that the model takes, light on dark, as `handgrad predict --show` writes it in PNG.
#include <torch/script.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

at::Tensor read_pgm(const char* name) {
  std::ifstream file(name, std::ios::binary);
  std::string magic;
  std::int64_t columns = 0;
  std::int64_t rows = 0;
  int white = 0;
  file >> magic >> columns >> rows >> white;
  file.get();
  if (!file || magic != "P5" || white != 255 || columns < 1 || rows < 1 || columns > 4096 || rows > 4096) {
    throw std::runtime_error(std::string(name) + " is no binary PGM file of bytes");
  }
  at::Tensor pixels = at::empty({1, 1, rows, columns}, at::kByte);
  if (!file.read(reinterpret_cast<char*>(pixels.data_ptr<std::uint8_t>()), pixels.numel())) {
    throw std::runtime_error(std::string(name) + " is cut short");
  }
  return pixels;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: classify MODEL.pt PICTURE.pgm\n");
    return 2;
  }
  try {
    const c10::InferenceMode no_gradients;
    torch::jit::script::Module model = torch::jit::load(argv[1]);
    const at::Tensor probabilities = model.forward({read_pgm(argv[2])}).toTensor()[0];
    const auto best = probabilities.argmax().item<std::int64_t>();
    std::printf("%lld\t%.4f\n", static_cast<long long>(best), probabilities[best].item<double>());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
