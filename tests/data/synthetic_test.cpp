// The built-in digits: fixed by their seed, too hard for a linear classifier, easy for the default network.
#include "handgrad/data/synthetic.h"

#include "handgrad/train/trainer.h"
#include "test.h"

using namespace handgrad;

namespace {

double test_accuracy(const std::vector<std::int64_t>& hidden, double learning_rate) {
  const Dataset dataset = load_dataset(synthetic_name);
  const Splits splits = split(dataset, {}, at::kFloat);
  TrainingOptions options;
  options.learning_rate = {learning_rate};
  Network network({dataset.rows() * dataset.columns(), hidden, dataset.classes, BatchNormPlace::none}, 1,
                  at::kFloat);
  TrainingObserver observer;
  return train(network, splits, options, observer).replicas[0].test.accuracy;
}

}  // namespace

TEST_CASE("synthetic digits are a function of seed and count", "[synthetic]") {
  const LabelledImages digits = synthetic_digits(200, 1);
  CHECK(digits.images.shape == std::vector<std::int64_t>{200, 28, 28});
  CHECK(digits.labels.shape == std::vector<std::int64_t>{200});
  CHECK(digits.images.values == synthetic_digits(200, 1).images.values);
  CHECK(digits.images.values != synthetic_digits(200, 2).images.values);
  std::vector<int> count(10, 0);
  for (const std::uint8_t label : digits.labels.values) ++count.at(label);
  for (const int of_class : count) CHECK(of_class > 5);
}

TEST_CASE("a linear classifier stays under 90 % on synthetic digits", "[synthetic]") {
  const double rate = GENERATE(0.009, 0.1);
  CHECK(test_accuracy({}, rate) < 0.90);
  CHECK(test_accuracy({}, rate) > 0.50);
}

TEST_CASE("the default network exceeds 95 % on synthetic digits", "[synthetic]") {
  CHECK(test_accuracy(Architecture().hidden, TrainingOptions().learning_rate.front()) > 0.95);
}
