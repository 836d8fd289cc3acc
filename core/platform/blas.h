// The BLAS that does the matrix products: which one it is, how fast, and the kernels that it uses.
#pragma once

#include <cstdint>
#include <string>

namespace handgrad {

struct BlasLibrary {
  std::string path;  // the file that answers matrix products
  std::string name;  // "BLIS", "OpenBLAS", "MKL", "reference BLAS" or "unknown"
  bool is_slow = false;
};

BlasLibrary blas_library();

// BLIS picks its kernels by the processor, once, when it first computes. Those it picks for processors with
// AVX-512 are made for large products, and processors newer than itself get the slowest. This has it pick by
// the widest hidden layer instead: call it before the first product. Leaves what BLIS_ARCH_TYPE says in the
// environment, other libraries, and a BLIS that does not tell the names of its kernels alone.
void choose_blas_kernels(std::int64_t widest_layer);

// Speed of a single-precision matrix product of n × n by n × n matrices, best of several, in GFLOP/s.
double matrix_product_gflops(std::int64_t n);

}  // namespace handgrad
