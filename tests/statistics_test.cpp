// Checks the statistics against values from tables and from counting by hand.
#include "statistics.h"

#include <cmath>
#include <limits>

#include "errors.h"
#include "test.h"

namespace handgrad {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST_CASE("means, deviations and t intervals", "[statistics]") {
  // 1 … 5: s = √2.5, t(0.975, 4) = 2.776445 (any table of Student's t).
  const Estimate sample = estimate({1, 2, 3, 4, 5});
  CHECK(sample.count == 5);
  CHECK(sample.mean == Approx(3));
  CHECK(sample.standard_deviation == Approx(std::sqrt(2.5)));
  CHECK(sample.high - 3 == Approx(2.776445 * std::sqrt(2.5 / 5)).epsilon(1e-6));
  CHECK(3 - sample.low == Approx(sample.high - 3));
  CHECK(std::isnan(estimate({}).mean));
  CHECK(estimate({7}).mean == 7);
  CHECK(std::isnan(estimate({7}).low));
  CHECK(std::isnan(estimate({1, nan}).mean));
}

TEST_CASE("the t test of a mean", "[statistics]") {
  // t = 3 / √0.5 = 4.2426 with 4 degrees of freedom: F(t) = 1/2 + (3/8)·u·(1 − u²/12·…) in closed form:
  // p = 1 − (θ/√(1+θ²)) (1 + 1/(2(1+θ²))), θ = t/2.
  const double theta = 3 / std::sqrt(0.5) / 2;
  const double p = 1 - theta / std::sqrt(1 + theta * theta) * (1 + 0.5 / (1 + theta * theta));
  CHECK(t_test({1, 2, 3, 4, 5}) == Approx(p));
  CHECK(t_test({-1, -2, -3, -4, -5}) == Approx(p));
  CHECK(t_test({-1, 1}) == Approx(1));
  CHECK(t_test({0, 0, 0}) == 1);
  CHECK(t_test({2, 2, 2}) == 0);
  CHECK(std::isnan(t_test({2})));
  CHECK(std::isnan(t_test({2, nan, 3})));
}

TEST_CASE("Holm's correction", "[statistics]") {
  const std::vector<double> corrected = holm({0.01, 0.04, 0.03, 0.005});
  CHECK(corrected[0] == Approx(0.03));
  CHECK(corrected[1] == Approx(0.06));
  CHECK(corrected[2] == Approx(0.06));
  CHECK(corrected[3] == Approx(0.02));
  CHECK(holm({0.9, 0.8})[0] == 1);
  const std::vector<double> with_gap = holm({nan, 0.02, 0.5});
  CHECK(std::isnan(with_gap[0]));
  CHECK(with_gap[1] == Approx(0.04));
  CHECK(with_gap[2] == Approx(0.5));
}

TEST_CASE("the rank sum test", "[statistics]") {
  // The least of 20 rank sums on either side.
  CHECK(rank_sum_test({1, 2, 3}, {4, 5, 6}) == Approx(2.0 / 20));
  CHECK(rank_sum_test({4, 5, 6}, {1, 2, 3}) == Approx(2.0 / 20));
  CHECK(rank_sum_test({1, 4}, {2, 3}) == Approx(1));
  CHECK(rank_sum_test({1, 1}, {1, 1}) == Approx(1));
  // Ranks 1.5, 1.5, 3: of three ways to pick one value, two have the rank 1.5 and one the rank 3.
  CHECK(rank_sum_test({2}, {1, 1}) == Approx(1.0 / 3));
  CHECK_THROWS_AS(rank_sum_test({}, {1}), ArgumentError);
  CHECK_THROWS_AS(rank_sum_test({1}, {nan}), ArgumentError);
}

}  // namespace handgrad
