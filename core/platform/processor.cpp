// What the processor can do, and whether code may be made for it.
#include "handgrad/platform/processor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

namespace handgrad {

bool has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

bool is_intel_with_avx512() {
#if defined(__x86_64__)
  return has_avx512() && __builtin_cpu_is("intel");
#else
  return false;
#endif
}

#if defined(__x86_64__)
namespace {

__attribute__((target("avx"))) void vzeroupper() {
  __builtin_ia32_vzeroupper();
}

}  // namespace
#endif

void clear_wide_registers() {
#if defined(__x86_64__)
  static const bool has_avx = __builtin_cpu_supports("avx");
  if (has_avx) vzeroupper();
#endif
}

bool may_execute_what_it_writes() {
  const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const page =
      mmap(nullptr, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  const bool may = mprotect(page, size, PROT_READ | PROT_EXEC) == 0;
  munmap(page, size);
  return may;
}

}  // namespace handgrad
