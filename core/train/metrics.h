// How good a classifier is: what evaluation reports.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/nn/ops.h"

namespace handgrad {

struct LossAndAccuracy {
  double loss = 0;      // mean cross entropy, natural logarithm
  double accuracy = 0;  // correct predictions over images, 0 to 1
};

struct ClassMetrics {
  double precision = 0;  // of the images called this class, the share that are; NaN where none was
  double recall = 0;     // of the images of this class, the share called so; NaN where there is none
  double f1 = 0;         // 2 · right / (called + actual); NaN where both are none
};

// An image that the model got wrong.
struct Mistake {
  std::int64_t index = 0;
  std::int64_t label = 0;
  std::int64_t predicted = 0;
  double probability = 0;        // given to the predicted class
  double label_probability = 0;  // given to the right class
};

// The images whose highest probability lies in one of 15 parts of equal width of 0 to 1.
struct CalibrationBin {
  std::int64_t count = 0;
  double confidence = 0;  // mean of those probabilities; NaN where there is no image
  double accuracy = 0;    // 0 to 1; NaN where there is no image
};

struct Metrics {
  LossAndAccuracy overall;
  std::vector<std::vector<std::int64_t>> confusion;  // [label][predicted]
  std::vector<ClassMetrics> classes;
  std::vector<CalibrationBin> calibration;
  double expected_calibration_error = 0;  // Guo et al., 2017, equation 3
  std::vector<Mistake> worst_mistakes;    // highest probability for a wrong class first
};

// log_probabilities [N,C]; labels [N], int64, each below C. Keeps the `most_mistakes` worst mistakes.
// Throws NumericError where there are none, or one is not finite.
Metrics compute_metrics(const Tensor& log_probabilities, const Tensor& labels, std::size_t most_mistakes);

// How far two classifiers that should be one differ on the same images.
struct Agreement {
  double largest_difference = 0;  // of a probability; NaN where one is
  double mean_difference = 0;     // the same
  std::int64_t changed = 0;       // images whose class is another
  std::int64_t decided = 0;       // of these, the ones whose two best classes were further apart than the tie
};

constexpr double largest_agreed_difference = 1e-5;
constexpr double largest_tie = 2e-5;

// expected, actual: probabilities [N,C].
Agreement compare(const Tensor& expected, const Tensor& actual);

// Differs by no more than rounding does.
bool agrees(const Agreement& agreement);

}  // namespace handgrad
