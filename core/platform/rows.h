// A tensor as plain rows of numbers, for loops and for a BLAS.
#pragma once

#include <cstdint>
#include <optional>

#include "handgrad/base/tensor.h"

namespace handgrad {

// x [N,…] as N rows of `columns` numbers that follow each other, `step` numbers from one row to the next.
struct Rows {
  std::int64_t rows = 0, columns = 0, step = 0;
};

// None where the numbers of a row do not follow each other.
inline std::optional<Rows> rows_of(const Tensor& x) {
  std::int64_t columns = 1;
  for (std::int64_t axis = x.dim() - 1; axis > 0; --axis) {
    if (x.size(axis) != 1 && x.stride(axis) != columns) return std::nullopt;
    columns *= x.size(axis);
  }
  const std::int64_t rows = x.size(0);
  const std::int64_t step = rows == 1 ? columns : x.stride(0);
  if (step < columns) return std::nullopt;
  return Rows{rows, columns, step};
}

}  // namespace handgrad
