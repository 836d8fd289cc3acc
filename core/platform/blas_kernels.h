// The kernels that the BLAS uses, where that is BLIS.
#pragma once

#include <cstdint>

namespace handgrad {

// BLIS picks its kernels by the processor, once, when it first computes. Those it picks for processors with
// AVX-512 are made for large products, and processors newer than itself get the slowest. This has it pick by
// the widest hidden layer instead, unless oneDNN does the large products (of float32, in which networks are trained): call it before the first product. Leaves
// what BLIS_ARCH_TYPE says in the environment, other libraries, and a BLIS that does not tell the names of its
// kernels alone.
void choose_blas_kernels(std::int64_t widest_layer);

}  // namespace handgrad
