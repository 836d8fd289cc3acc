// The tensors of everything here.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace handgrad {

using at::Tensor;

// The numbers of a tensor, in float64 on the CPU.
std::vector<double> to_vector(const Tensor& tensor);

// A factor of `like`'s type on the CPU, made once in each thread: an operation that is given a number instead
// allocates a tensor for it in every call.
const Tensor& constant(double value, const Tensor& like);

}  // namespace handgrad
