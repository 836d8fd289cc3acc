// What repeated runs tell: means with their intervals, paired tests, corrections for several tests.
// Free of LibTorch.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

namespace handgrad {

// Where numbers lie; a bound that is left out is infinite.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

// Of a sample; NaN where it is too small: the mean of none, the rest of less than two values. Values that
// differ by no more than rounding does have no interval either: their spread tells nothing of that of others.
struct Estimate {
  std::size_t count = 0;
  double mean = 0;
  double standard_deviation = 0;  // with n − 1
  double low = 0, high = 0;       // 95 % interval of the mean (Student, 1908)
};

// `possible`: between which all values lie, and so their true mean. The interval is cut off there: what is
// cut away cannot hold the mean, so that it is covered as often as before.
Estimate estimate(const std::vector<double>& values, const Range& possible = {});

// The 95 % interval of a share that was seen in `count` trials, at least 1 (Wilson, 1927): within 0 and 1,
// and of some width where none or all of few trials were.
Range share_interval(double share, std::size_t count);

// The probability that the mean of so many values lies this far from 0, either way, where the true mean is 0
// (Student's one-sample t test; of differences it is the paired test). NaN for less than two values. Values
// that differ by no more than rounding does have no t: of n of them it is the probability 2^(1 − n) that
// chance gives all the same sign, and 1 where all are 0.
double t_test(const std::vector<double>& values);

// The values corrected for their number (Holm, 1979), in their order: each at most 1. NaN counts as no test.
std::vector<double> holm(const std::vector<double>& p_values);

// The probability that ranks differ so much between two samples of one distribution, either way (Wilcoxon,
// 1945; Mann and Whitney, 1947): exact, over all ways to deal the values out, ties included. Throws
// ArgumentError where a sample is empty or holds NaN.
double rank_sum_test(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace handgrad
