// What the library runs on.
#include "system.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cuda.h"
#include "errors.h"
#include "resources.h"

namespace handgrad {

namespace {

// Measured: with 20 units BLIS's AVX2 kernels take 0.6 of the time of its AVX-512 kernels, with 64 about the
// same, with 128 more.
constexpr std::int64_t widest_narrow_layer = 64;

}  // namespace

std::string version() {
  return HANDGRAD_VERSION;
}

std::string libtorch_version() {
  return TORCH_VERSION;
}

at::Device choose_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  const bool available = has_gpu();
  if (name == "auto") return available ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  const std::string digits = name.rfind("cuda:", 0) == 0 ? name.substr(5) : "0";
  const bool is_index =
      !digits.empty() && digits.size() <= 3 &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if ((name != "cuda" && name.rfind("cuda:", 0) != 0) || !is_index) {
    throw ArgumentError(fmt::format("device: got {}; must be auto, cpu, cuda or cuda:INDEX", name));
  }
  if (!available) {
    throw DeviceError(fmt::format(
        "device: {} is not there: {}; use cpu or auto", name,
        built_with_cuda()
            ? fmt::format("LibTorch {} found no CUDA GPU", libtorch_version())
            : fmt::format("this handgrad was built with a LibTorch {} without CUDA", libtorch_version())));
  }
  const int index = std::stoi(digits);
  const int count = static_cast<int>(at::getNumGPUs());
  if (index >= count) {
    throw DeviceError(fmt::format("device: {} is not there; this machine has {} GPU(s), cuda:0 to cuda:{}",
                                  name, count, count - 1));
  }
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
}

void allow_tf32(bool allow) {
  at::globalContext().setAllowTF32CuBLAS(allow);
}

std::string processor_name(at::Device device) {
  if (!device.is_cpu()) return gpu_name(device);
  std::string name = "unknown processor";
  std::ifstream description("/proc/cpuinfo");
  for (std::string line; std::getline(description, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) {
      name = line.substr(line.find(": ") + 2);
      break;
    }
  }
  return fmt::format("{}, {} cores", name, available_cores());
}

BlasLibrary blas_library() {
  BlasLibrary library{"", "unknown", false};
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info;
  if (symbol == nullptr || dladdr(symbol, &info) == 0) return library;
  std::error_code ignored;
  library.path = std::filesystem::canonical(info.dli_fname, ignored).string();
  const auto says = [&](const char* word) { return library.path.find(word) != std::string::npos; };
  if (says("blis")) {
    library.name = "BLIS";
  } else if (says("openblas")) {
    library.name = "OpenBLAS";
  } else if (says("mkl") || says("libtorch_cpu")) {
    library.name = "MKL";
  } else if (says("/blas/") || says("libblas")) {
    library.name = "reference BLAS";
    library.is_slow = true;
  }
  return library;
}

void choose_blas_kernels(std::int64_t widest_layer) {
#if defined(__x86_64__)
  constexpr const char* variable = "BLIS_ARCH_TYPE";
  static const bool given = std::getenv(variable) != nullptr;
  const BlasLibrary library = blas_library();
  std::error_code unreadable;
  // The numbers of the kernels are those of version 0.9, the only one with a libblis.so.4.
  const bool known = library.name == "BLIS" &&
                     std::filesystem::exists(
                         std::filesystem::path(library.path).replace_filename("libblis.so.4"), unreadable);
  if (given || !known || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  constexpr const char* avx2_kernels = "3";
  constexpr const char* avx512_kernels = "0";
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  setenv(variable, avx512 && widest_layer > widest_narrow_layer ? avx512_kernels : avx2_kernels, 1);
#else
  static_cast<void>(widest_layer);
#endif
}

double matrix_product_gflops(std::int64_t n) {
  const at::Tensor a = at::rand({n, n});
  const at::Tensor b = at::rand({n, n});
  at::Tensor c = at::empty({n, n});
  double best = 0;
  for (int round = 0; round < 10; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    at::mm_out(c, a, b);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, 2.0 * static_cast<double>(n * n * n) / seconds.count() / 1e9);
  }
  return best;
}

}  // namespace handgrad
