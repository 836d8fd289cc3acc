// Pages of memory that are larger than usual.
#include "handgrad/platform/large_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace handgrad {

namespace {

constexpr int collapse = 25;  // MADV_COLLAPSE, which the headers of Debian's C library lack

}  // namespace

void use_large_pages(const Tensor& tensor) {
  if (!tensor.is_cpu() || !tensor.is_non_overlapping_and_dense()) return;
  // Whole pages that belong to the tensor alone.
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(tensor.data_ptr());
  const std::uintptr_t begin = (first + page - 1) / page * page;
  const std::uintptr_t end = (first + tensor.nbytes()) / page * page;
  if (begin >= end) return;
  void* const pages = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr)
  if (madvise(pages, end - begin, MADV_HUGEPAGE) == 0) madvise(pages, end - begin, collapse);
}

}  // namespace handgrad
