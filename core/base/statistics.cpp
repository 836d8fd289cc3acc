// Student's t by Boost.Math; ranks by counting.
#include "handgrad/base/statistics.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

#include "handgrad/base/errors.h"

namespace handgrad {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double below_upper_tail = 0.975;  // with a 95 % interval between two tails

// Whether finite values differ by no more than rounding does.
bool alike(const std::vector<double>& values) {
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return *greatest - *least <= 1e-9 * std::max(std::abs(*least), std::abs(*greatest));
}

// Twice the rank of each value among all: ties share the middle of their ranks, which may be a half.
std::vector<std::size_t> doubled_ranks(const std::vector<double>& values) {
  std::vector<std::size_t> ranks;
  for (const double value : values) {
    const auto below = std::count_if(values.begin(), values.end(), [&](double v) { return v < value; });
    const auto equal = std::count(values.begin(), values.end(), value);
    ranks.push_back(static_cast<std::size_t>(2 * below + equal + 1));
  }
  return ranks;
}

}  // namespace

Estimate estimate(const std::vector<double>& values, const Range& possible) {
  const auto n = static_cast<double>(values.size());
  Estimate result{values.size(), nan, nan, nan, nan};
  if (values.empty()) return result;
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.standard_deviation = std::sqrt(squares / (n - 1));
  if (!std::isfinite(result.standard_deviation) || alike(values)) return result;
  const double t = boost::math::quantile(boost::math::students_t(n - 1), below_upper_tail);
  const double half = t * result.standard_deviation / std::sqrt(n);
  result.low = std::max(result.mean - half, possible.low);
  result.high = std::min(result.mean + half, possible.high);
  return result;
}

Range share_interval(double share, std::size_t count) {
  const auto n = static_cast<double>(count);
  const double z = boost::math::quantile(boost::math::normal(), below_upper_tail);
  const double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n);
  return {std::max(middle - half, 0.0), std::min(middle + half, 1.0)};
}

double t_test(const std::vector<double>& values) {
  const Estimate sample = estimate(values);
  if (!std::isfinite(sample.standard_deviation)) return nan;
  const auto n = static_cast<double>(sample.count);
  if (alike(values)) return sample.mean == 0 ? 1 : std::pow(2, 1 - n);
  const double t = sample.mean / (sample.standard_deviation / std::sqrt(n));
  return 2 * boost::math::cdf(boost::math::complement(boost::math::students_t(n - 1), std::abs(t)));
}

std::vector<double> holm(const std::vector<double>& p_values) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p_values.size(); ++i) {
    if (!std::isnan(p_values[i])) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> corrected(p_values.size(), nan);
  double largest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const auto tests_left = static_cast<double>(order.size() - rank);
    largest = std::max(largest, std::min(1.0, tests_left * p_values[order[rank]]));
    corrected[order[rank]] = largest;
  }
  return corrected;
}

double rank_sum_test(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> all = a;
  all.insert(all.end(), b.begin(), b.end());
  if (a.empty() || b.empty() ||
      std::any_of(all.begin(), all.end(), [](double value) { return std::isnan(value); })) {
    throw ArgumentError("a rank sum test needs two samples of numbers; one is empty or holds NaN");
  }
  const std::vector<std::size_t> ranks = doubled_ranks(all);
  const auto in_a = ranks.begin() + static_cast<std::ptrdiff_t>(a.size());
  const std::size_t seen = std::accumulate(ranks.begin(), in_a, std::size_t{0});
  const std::size_t whole = std::accumulate(ranks.begin(), ranks.end(), std::size_t{0});

  // ways[k][s]: in how many ways k of the values have the rank sum s.
  std::vector<std::vector<double>> ways(a.size() + 1, std::vector<double>(whole + 1, 0));
  ways[0][0] = 1;
  for (const std::size_t rank : ranks) {
    for (std::size_t k = a.size(); k > 0; --k) {
      for (std::size_t sum = whole; sum >= rank; --sum) ways[k][sum] += ways[k - 1][sum - rank];
    }
  }
  const double expected =
      static_cast<double>(whole) * static_cast<double>(a.size()) / static_cast<double>(all.size());
  const double distance = std::abs(static_cast<double>(seen) - expected);
  double as_far = 0;
  double total = 0;
  for (std::size_t sum = 0; sum <= whole; ++sum) {
    total += ways[a.size()][sum];
    if (std::abs(static_cast<double>(sum) - expected) >= distance - 1e-9) as_far += ways[a.size()][sum];
  }
  return as_far / total;
}

}  // namespace handgrad
