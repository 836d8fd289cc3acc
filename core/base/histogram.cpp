// Bins of equal width.
#include "handgrad/base/histogram.h"

#include <algorithm>
#include <cmath>

namespace handgrad {

namespace {

constexpr std::size_t bin_count = 30;

// Count, range and sums; no bins yet.
Histogram without_bins(const float* values, std::size_t size) {
  Histogram result;
  for (std::size_t i = 0; i < size; ++i) {
    const double value = values[i];
    if (!std::isfinite(value)) continue;
    result.min = result.count == 0 ? value : std::min(result.min, value);
    result.max = result.count == 0 ? value : std::max(result.max, value);
    result.count += 1;
    result.sum += value;
    result.sum_of_squares += value * value;
  }
  return result;
}

}  // namespace

Histogram histogram(const float* values, std::size_t size) {
  Histogram result = without_bins(values, size);
  if (result.count == 0) return result;
  const std::size_t bins = result.min == result.max ? 1 : bin_count;
  const double width = (result.max - result.min) / static_cast<double>(bins);
  for (std::size_t bin = 1; bin < bins; ++bin) {
    result.limits.push_back(result.min + static_cast<double>(bin) * width);
  }
  result.limits.push_back(result.max);
  result.counts.assign(bins, 0);
  for (std::size_t i = 0; i < size; ++i) {
    const double value = values[i];
    if (!std::isfinite(value)) continue;
    // The largest number lies on the upper end of the last bin.
    const std::size_t bin = bins == 1 ? 0 : static_cast<std::size_t>((value - result.min) / width);
    result.counts[std::min(bin, bins - 1)] += 1;
  }
  return result;
}

}  // namespace handgrad
