// What the library runs on: versions, devices, threads, and the BLAS that does the matrix products.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

namespace handgrad {

// Of this library, such as "0.1.0"; and of the LibTorch that it was built with.
std::string version();
std::string libtorch_version();

// "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:i". Throws ArgumentError for other words,
// DeviceError for a GPU that is not there.
at::Device choose_device(const std::string& name);

// Threads of LibTorch and of the BLAS together; at least 1.
void set_threads(int threads);

struct BlasLibrary {
  std::string path;  // the file that answers matrix products
  std::string name;  // "BLIS", "OpenBLAS", "MKL", "reference BLAS" or "unknown"
  bool is_slow = false;
};

BlasLibrary blas_library();

// Speed of a single-precision matrix product of n × n by n × n matrices, best of several, in GFLOP/s.
double matrix_product_gflops(std::int64_t n);

}  // namespace handgrad
