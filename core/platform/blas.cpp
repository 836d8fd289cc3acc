// The BLAS that does the matrix products.
#include "handgrad/platform/blas.h"

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "handgrad/platform/processor.h"

namespace handgrad {

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

namespace {

BlasOfFloat32 find_blas_of_float32() {
  const std::string name = blas_library().name;
  if (name == "BLIS" && is_intel_with_avx512()) {
    if (void* const open_blas = dlopen("libopenblas.so.0", RTLD_LAZY | RTLD_NOLOAD)) {
      use_one_thread(open_blas);  // it begins with one for each core, also for who never calls set_threads()
      return {open_blas, "OpenBLAS"};
    }
  }
  return {RTLD_DEFAULT, name};
}

}  // namespace

const BlasOfFloat32& blas_of_float32() {
  static const BlasOfFloat32 found = find_blas_of_float32();
  return found;
}

void use_one_thread(void* library) {
  if (void* symbol = dlsym(library, "openblas_set_num_threads")) {
    reinterpret_cast<void (*)(int)>(symbol)(1);
  }
  if (void* symbol = dlsym(library, "bli_thread_set_num_threads")) {
    reinterpret_cast<void (*)(std::int64_t)>(symbol)(1);
  }
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
