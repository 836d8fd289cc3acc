// What repeated runs tell: means with their intervals, paired tests, corrections for several tests.
// Free of LibTorch.
#pragma once

#include <cstddef>
#include <vector>

namespace handgrad {

// Of a sample; NaN where it is too small: the mean of none, the rest of less than two values.
struct Estimate {
  std::size_t count = 0;
  double mean = 0;
  double standard_deviation = 0;  // with n − 1
  double low = 0, high = 0;       // 95 % interval of the mean (Student, 1908)
};

Estimate estimate(const std::vector<double>& values);

// The probability that the mean of so many values lies this far from 0, either way, where the true mean is 0
// (Student's one-sample t test; of differences it is the paired test). NaN for less than two values; 1 where
// all are 0, 0 where all are the same other value.
double t_test(const std::vector<double>& values);

// The values corrected for their number (Holm, 1979), in their order: each at most 1. NaN counts as no test.
std::vector<double> holm(const std::vector<double>& p_values);

// The probability that ranks differ so much between two samples of one distribution, either way (Wilcoxon,
// 1945; Mann and Whitney, 1947): exact, over all ways to deal the values out, ties included. Throws
// ArgumentError where a sample is empty or holds NaN.
double rank_sum_test(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace handgrad
