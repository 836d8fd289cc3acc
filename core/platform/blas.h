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

// LibTorch's.
BlasLibrary blas_library();

// The one for products of float32, in which networks are trained: LibTorch's, but on Intel's processors with AVX-512, if that is
// BLIS, the OpenBLAS that is loaded for LAPACK: small products take two thirds of the time there. handle: where dlsym finds
// its functions.
struct BlasOfFloat32 {
  void* handle;
  std::string name;
};
const BlasOfFloat32& blas_of_float32();

// Has a BLAS that has threads of its own compute with one, beside ours. library: where dlsym finds its functions.
void use_one_thread(void* library);

// Speed of a single-precision matrix product of n × n by n × n matrices, best of several, in GFLOP/s.
double matrix_product_gflops(std::int64_t n);

}  // namespace handgrad
