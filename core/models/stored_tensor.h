// Tensors as safetensors files store them.
#pragma once

#include <string>

#include "handgrad/models/safetensors.h"
#include "handgrad/nn/ops.h"

namespace handgrad {

// A view of a contiguous tensor on the CPU, of float32, float64 or int64, that lives elsewhere.
StoredTensor as_stored(const std::string& name, const Tensor& tensor);

// A copy of a stored tensor: F64, F32, F16, BF16 or I64. Undefined for other types.
Tensor as_tensor(const StoredTensor& stored);

}  // namespace handgrad
