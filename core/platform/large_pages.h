// Pages of memory that are larger than usual.
#pragma once

#include "handgrad/base/tensor.h"

namespace handgrad {

// Asks the kernel to keep the numbers of a tensor, which are there already, in pages of 2 MB: for one that is read here and
// there, since a processor remembers where some thousand pages are and looks for all others in memory first. Where the
// kernel has none to give, or is older than Linux 6.1, the pages stay as they are, for a time or for good. Of a GPU's tensor
// nothing is asked. Linux, madvise(2): MADV_HUGEPAGE, MADV_COLLAPSE, which works where `transparent_hugepage` is `never`, too.
void use_large_pages(const Tensor& tensor);

}  // namespace handgrad
