// The kernels of BLIS.
#include "handgrad/platform/blas_kernels.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "handgrad/platform/blas.h"
#include "handgrad/platform/large_products.h"
#include "handgrad/platform/processor.h"

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

void choose_blas_kernels(std::int64_t widest_layer) {
#if defined(__x86_64__)
  constexpr const char* variable = "BLIS_ARCH_TYPE";
  static const bool given = std::getenv(variable) != nullptr;
  static const BlasLibrary library = blas_library();
  if (given || library.name != "BLIS" || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return;
  static const std::map<std::string, int> kernels = blis_kernels(library.path);
  const bool wide = widest_layer > widest_narrow_layer && has_avx512() && large_products_library().empty();
  const auto chosen = kernels.find(wide ? "skx" : "haswell");
  if (chosen != kernels.end()) setenv(variable, std::to_string(chosen->second).c_str(), 1);
#else
  static_cast<void>(widest_layer);
#endif
}

}  // namespace handgrad
