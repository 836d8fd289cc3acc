// What the library runs on: versions and devices.
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

}  // namespace handgrad
