// Checks the statistics against values from tables and from counting by hand.
#include "handgrad/base/statistics.h"

#include <cmath>
#include <limits>

#include "handgrad/base/errors.h"
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

TEST_CASE("an interval of the mean ends where no value can be", "[statistics]") {
  // Two values 20 apart: half of the interval is t(0.975, 1) · 10 = 127.06.
  const Estimate share = estimate({40, 60}, {0, 100});
  CHECK(share.low == 0);
  CHECK(share.high == 100);
  const Estimate loss = estimate({0.1, 0.3}, {0, Range().high});
  CHECK(loss.low == 0);
  CHECK(loss.high == Approx(0.2 + 12.7062 * 0.1));
  // What does not reach that far stays as it is.
  CHECK(estimate({49, 50, 51}, {0, 100}).low == estimate({49, 50, 51}).low);
}

TEST_CASE("values that are all alike have a mean and no interval", "[statistics]") {
  for (const double value : {0.0, 0.1, 97.5, 100.0}) {
    CAPTURE(value);
    // The sum of three 0.1 is no three times 0.1: rounding is no spread.
    const Estimate sample = estimate({value, value, value}, {0, 100});
    CHECK(sample.mean == Approx(value));
    CHECK(std::isnan(sample.low));
    CHECK(std::isnan(sample.high));
  }
}

TEST_CASE("Wilson's interval of a share", "[statistics]") {
  const double z2 = 1.959964 * 1.959964;
  // None or all of n: from 0 to z²/(n + z²), and the mirror image.
  CHECK(share_interval(0, 3).low == Approx(0).margin(1e-15));
  CHECK(share_interval(0, 3).high == Approx(z2 / (3 + z2)));
  CHECK(share_interval(1, 3).low == Approx(3 / (3 + z2)));
  CHECK(share_interval(1, 3).high == 1);
  // The ends solve (p − share)² = z² p (1 − p) / n.
  const Range interval = share_interval(0.9, 50);
  for (const double p : {interval.low, interval.high}) {
    CHECK((p - 0.9) * (p - 0.9) == Approx(z2 * p * (1 - p) / 50));
  }
  CHECK(interval.low < 0.9);
  CHECK(interval.high > 0.9);
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
  CHECK(t_test({2, 2}) == 0.5);  // of four ways to give two values signs, two are alike
  CHECK(t_test({0.1, 0.1, 0.1}) == 0.25);
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
