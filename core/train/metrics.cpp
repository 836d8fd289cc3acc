// How good a classifier is.
#include "handgrad/train/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "handgrad/base/errors.h"

namespace handgrad {

namespace {

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? std::numeric_limits<double>::quiet_NaN()
                    : static_cast<double>(part) / static_cast<double>(whole);
}

std::vector<ClassMetrics> per_class(const std::vector<std::vector<std::int64_t>>& confusion) {
  std::vector<ClassMetrics> classes(confusion.size());
  for (std::size_t c = 0; c < confusion.size(); ++c) {
    std::int64_t actual = 0;
    std::int64_t called = 0;
    for (std::size_t k = 0; k < confusion.size(); ++k) {
      actual += confusion[c][k];
      called += confusion[k][c];
    }
    const std::int64_t right = confusion[c][c];
    classes[c] = {ratio(right, called), ratio(right, actual), ratio(2 * right, called + actual)};
  }
  return classes;
}

// Counts images by their confidence.
class Calibration {
 public:
  void add(double confidence, bool right) {
    Sums& bin = bins_[std::min<std::size_t>(static_cast<std::size_t>(confidence * bin_count), bin_count - 1)];
    ++bin.count;
    bin.confidence += confidence;
    bin.right += right ? 1 : 0;
  }

  std::vector<CalibrationBin> bins() const {
    std::vector<CalibrationBin> bins;
    for (const Sums& bin : bins_) {
      const auto count = static_cast<double>(bin.count);
      bins.push_back({bin.count, bin.confidence / count, static_cast<double>(bin.right) / count});
    }
    return bins;
  }

  // Σ over bins of (share of images) · |accuracy − mean confidence|
  double error(double count) const {
    double sum = 0;
    for (const Sums& bin : bins_) sum += std::abs(static_cast<double>(bin.right) - bin.confidence);
    return sum / count;
  }

 private:
  struct Sums {
    std::int64_t count = 0, right = 0;
    double confidence = 0;
  };

  static constexpr std::size_t bin_count = 15;
  Sums bins_[bin_count];
};

}  // namespace

Metrics compute_metrics(const Tensor& log_probabilities, const Tensor& labels, std::size_t most_mistakes) {
  const Tensor rows = log_probabilities.to(at::kCPU, at::kDouble).contiguous();
  const Tensor predictions = rows.argmax(1);
  const std::int64_t count = rows.size(0);
  const auto classes = static_cast<std::size_t>(rows.size(1));
  const auto value = rows.accessor<double, 2>();
  const Tensor cpu_labels = labels.to(at::kCPU);
  const auto label_of = cpu_labels.accessor<std::int64_t, 1>();
  const auto prediction_of = predictions.accessor<std::int64_t, 1>();

  if (count == 0 || !at::isfinite(rows.detach()).all().item<bool>()) {
    throw NumericError("the model's outputs are not finite numbers; it cannot be measured");
  }

  Metrics metrics;
  metrics.confusion.assign(classes, std::vector<std::int64_t>(classes, 0));
  Calibration calibration;
  std::int64_t right = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = label_of[i];
    const std::int64_t predicted = prediction_of[i];
    const double probability = std::exp(value[i][predicted]);
    metrics.overall.loss -= value[i][label];
    ++metrics.confusion[static_cast<std::size_t>(label)][static_cast<std::size_t>(predicted)];
    calibration.add(probability, label == predicted);
    if (label == predicted) {
      ++right;
    } else {
      metrics.worst_mistakes.push_back({i, label, predicted, probability, std::exp(value[i][label])});
    }
  }
  metrics.overall.loss /= static_cast<double>(count);
  metrics.overall.accuracy = ratio(right, count);
  metrics.classes = per_class(metrics.confusion);
  metrics.calibration = calibration.bins();
  metrics.expected_calibration_error = calibration.error(static_cast<double>(count));

  std::stable_sort(metrics.worst_mistakes.begin(), metrics.worst_mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.probability > b.probability; });
  metrics.worst_mistakes.resize(std::min(metrics.worst_mistakes.size(), most_mistakes));
  return metrics;
}

Agreement compare(const Tensor& expected, const Tensor& actual) {
  const Tensor a = expected.to(at::kCPU, at::kDouble);
  const Tensor b = actual.to(at::kCPU, at::kDouble);
  const auto [best, classes] = a.topk(2, 1);
  const Tensor changed = classes.select(1, 0).ne(b.argmax(1));
  const Tensor margin = best.select(1, 0) - best.select(1, 1);
  Agreement agreement;
  const Tensor difference = (a - b).abs();
  agreement.largest_difference = difference.max().item<double>();  // the largest of NaN and others is NaN
  agreement.mean_difference = difference.mean().item<double>();
  agreement.changed = changed.sum().item<std::int64_t>();
  agreement.decided = changed.logical_and(margin.gt(largest_tie)).sum().item<std::int64_t>();
  return agreement;
}

bool agrees(const Agreement& agreement) {
  return agreement.largest_difference <= largest_agreed_difference && agreement.decided == 0;
}

}  // namespace handgrad
