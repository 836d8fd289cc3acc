// How numbers are spread. Free of LibTorch.
#pragma once

#include <cstddef>
#include <vector>

namespace handgrad {

struct Histogram {
  double count = 0;  // of the numbers; whole
  double min = 0, max = 0;
  double sum = 0, sum_of_squares = 0;
  std::vector<double> limits;  // upper end of each bin, the last one max; the first bin begins at min
  std::vector<double> counts;  // of the numbers in each bin; whole
};

// Of `size` numbers, in 30 bins of equal width, as TensorBoard draws them; in one bin where all are equal. NaN
// and infinite numbers are left out, and not counted; of none there are no bins.
Histogram histogram(const float* values, std::size_t size);

}  // namespace handgrad
