// The evaluation measures on a case small enough to work out by hand.
#include "handgrad/train/metrics.h"

#include "test.h"

using namespace handgrad;

TEST_CASE("metrics of five predictions over three classes", "[metrics]") {
  const std::vector<double> rows = {0.7,  0.2, 0.1,   // label 0: right
                                    0.1,  0.8, 0.1,   // label 0: called 1
                                    0.2,  0.6, 0.2,   // label 1: right
                                    0.05, 0.9, 0.05,  // label 2: called 1
                                    0.5,  0.4, 0.1};  // label 0: right
  const Tensor probabilities = at::tensor(rows, at::kDouble).view({5, 3});
  const Tensor labels = at::tensor({0, 0, 1, 2, 0}, at::kLong);
  const Metrics metrics = compute_metrics(probabilities.log(), labels, 10);

  CHECK(metrics.overall.accuracy == Approx(0.6));
  CHECK(metrics.overall.loss == Approx(-std::log(0.7 * 0.1 * 0.6 * 0.05 * 0.5) / 5));
  CHECK(metrics.confusion == std::vector<std::vector<std::int64_t>>{{2, 1, 0}, {0, 1, 0}, {0, 1, 0}});
  CHECK(metrics.classes[0].precision == Approx(1.0));
  CHECK(metrics.classes[0].recall == Approx(2.0 / 3));
  CHECK(metrics.classes[0].f1 == Approx(0.8));
  CHECK(metrics.classes[1].precision == Approx(1.0 / 3));
  CHECK(metrics.classes[1].recall == Approx(1.0));
  CHECK(metrics.classes[1].f1 == Approx(0.5));
  CHECK(std::isnan(metrics.classes[2].precision));
  CHECK(metrics.classes[2].recall == 0);
  CHECK(metrics.classes[2].f1 == 0);
  // Each prediction has a bin of its own here, so the error is the mean gap.
  CHECK(metrics.expected_calibration_error == Approx((0.3 + 0.8 + 0.4 + 0.9 + 0.5) / 5));
  REQUIRE(metrics.worst_mistakes.size() == 2);
  CHECK(metrics.worst_mistakes[0].index == 3);
  CHECK(metrics.worst_mistakes[0].predicted == 1);
  CHECK(metrics.worst_mistakes[0].label_probability == Approx(0.05));
  CHECK(metrics.worst_mistakes[1].index == 1);
  CHECK(compute_metrics(probabilities.log(), labels, 1).worst_mistakes.size() == 1);
}

TEST_CASE("confident and right is well calibrated", "[metrics]") {
  const Tensor log_probabilities = at::tensor({0.0, -1e4, -1e4, 0.0}, at::kDouble).view({2, 2});
  const Metrics metrics = compute_metrics(log_probabilities, at::tensor({0, 1}, at::kLong), 10);
  CHECK(metrics.expected_calibration_error == 0);
  CHECK(metrics.worst_mistakes.empty());
}
