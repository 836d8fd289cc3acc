// How far a tensor is from the one that it should be.
#pragma once

#include <ATen/ATen.h>

// ‖a − b‖ / ‖b‖, and a NaN where there is one.
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}
