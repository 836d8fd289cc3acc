// The BLAS that does the matrix products: which one it is, and how fast.
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

// Speed of a single-precision matrix product of n × n by n × n matrices, best of several, in GFLOP/s.
double matrix_product_gflops(std::int64_t n);

}  // namespace handgrad
