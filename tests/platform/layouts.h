// The same matrix in several places.
#pragma once

#include <cmath>
#include <vector>

#include "handgrad/base/tensor.h"

// Its numbers in different order, or not next to each other.
inline std::vector<at::Tensor> layouts(const at::Tensor& matrix) {
  const at::Tensor wider = at::full({matrix.size(0) + 2, matrix.size(1) + 3}, std::nan(""), matrix.options());
  const at::Tensor inside = wider.narrow(0, 1, matrix.size(0)).narrow(1, 2, matrix.size(1));
  const at::Tensor sparse = at::full({matrix.size(0), 2 * matrix.size(1)}, std::nan(""), matrix.options());
  const at::Tensor every_second = sparse.slice(1, 0, 2 * matrix.size(1), 2);
  return {matrix.clone(), matrix.t().contiguous().t(), inside.copy_(matrix), every_second.copy_(matrix)};
}
