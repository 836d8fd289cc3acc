// The BLAS that does the matrix products.
#include "handgrad/platform/blas.h"

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <system_error>
#include <vector>

namespace handgrad {

namespace {

// Measured: with 20 units BLIS's AVX2 kernels take 0.6 of the time of its AVX-512 kernels, with 64 about the
// same, with 128 more.
constexpr std::int64_t widest_narrow_layer = 64;

// BLIS numbers its kernels, otherwise in every version, and tells their names by a function that Debian's
// libblas.so.3 keeps to itself; the libblis.so.N beside it, of the same build, has it.
[[maybe_unused]] std::map<std::string, int> blis_kernels(const std::filesystem::path& library) {
  std::vector<std::filesystem::path> candidates = {library};
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(library.parent_path(), unreadable)) {
    if (entry.path().filename().string().rfind("libblis.so", 0) == 0) candidates.push_back(entry.path());
  }
  constexpr const char* last_name = "generic";  // in every version
  constexpr int most = 100;                     // versions 0.9 and 1.1 have fewer than 40
  std::map<std::string, int> ids;
  for (const std::filesystem::path& candidate : candidates) {
    void* handle = dlopen(candidate.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (handle == nullptr) continue;
    if (void* symbol = dlsym(handle, "bli_arch_string")) {
      const auto name_of = reinterpret_cast<const char* (*)(int)>(symbol);
      for (int id = 0; id < most && ids.count(last_name) == 0; ++id) {
        if (const char* name = name_of(id)) ids.emplace(name, id);
      }
    }
    dlclose(handle);
    if (!ids.empty()) break;
  }
  return ids;
}

}  // namespace

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
  static const BlasLibrary library = blas_library();
  if (given || library.name != "BLIS" || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return;
  static const std::map<std::string, int> kernels = blis_kernels(library.path);
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  const auto chosen = kernels.find(avx512 && widest_layer > widest_narrow_layer ? "skx" : "haswell");
  if (chosen != kernels.end()) setenv(variable, std::to_string(chosen->second).c_str(), 1);
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
