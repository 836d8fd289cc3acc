// What the library runs on: versions, devices, threads.
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

// The threads that the calling thread computes with, itself included; at least 1. Workspaces that are made
// afterwards share their large products among them; the BLAS stays at 1. LibTorch also keeps the number for
// threads that begin later.
void set_threads(int threads);

// Floating-point operations of a matrix product that are worth a thread of their own: about 0.1 ms.
constexpr double flops_per_thread = 8e6;

// Threads that gain time for a product: as many as get flops_per_thread each, at most as many as the machine
// has cores; at least 1.
int useful_threads(double product_flops);

// At least 1.
int processor_cores();

// What computes there, such as "AMD EPYC 7763 64-Core Processor, 2 cores" or "NVIDIA H200".
std::string processor_name(at::Device device = at::kCPU);

}  // namespace handgrad
