// What the library runs on: versions, devices, and the BLAS that does the matrix products.
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

// Whether a GPU may round the factors of float32 products to TF32, with 10 bits of mantissa instead of 23.
// Off until it is asked for. PyTorch: torch.backends.cuda.matmul.allow_tf32.
void allow_tf32(bool allow);

// What computes there, such as "AMD EPYC 7763 64-Core Processor, 2 cores" or "NVIDIA H200".
std::string processor_name(at::Device device = at::kCPU);

struct BlasLibrary {
  std::string path;  // the file that answers matrix products
  std::string name;  // "BLIS", "OpenBLAS", "MKL", "reference BLAS" or "unknown"
  bool is_slow = false;
};

BlasLibrary blas_library();

// BLIS picks its kernels by the processor, once, when it first computes. Those it picks for processors with
// AVX-512 are made for large products, and processors newer than itself get the slowest. This has it pick by
// the widest hidden layer instead: call it before the first product. Leaves what BLIS_ARCH_TYPE says in the
// environment, other libraries and other versions of BLIS than 0.9 alone.
void choose_blas_kernels(std::int64_t widest_layer);

// Speed of a single-precision matrix product of n × n by n × n matrices, best of several, in GFLOP/s.
double matrix_product_gflops(std::int64_t n);

}  // namespace handgrad
