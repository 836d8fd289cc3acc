// The two dimensions of an image.
#pragma once

#include <cmath>
#include <cstdint>

namespace handgrad {

struct ImageShape {
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  // Whether an image of this many pixels can be given. One row stands for a flat vector, which any image of
  // as many pixels is.
  bool takes(ImageShape image) const {
    return rows == 1 ? columns == image.rows * image.columns : rows == image.rows && columns == image.columns;
  }

  // What the pictures of a network that takes flat vectors are taken for: square where that can be.
  ImageShape of_pictures() const {
    if (rows != 1) return *this;
    const std::int64_t side = std::llround(std::sqrt(static_cast<double>(columns)));
    return side * side == columns ? ImageShape{side, side} : *this;
  }
};

}  // namespace handgrad
