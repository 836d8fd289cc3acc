// Checks that networks see standardised images in training, and that what training leaves takes images as they are.
#include <cmath>

#include "data/small_data.h"
#include "handgrad/data/batches.h"
#include "handgrad/train/evaluator.h"
#include "handgrad/train/trainer.h"
#include "test.h"

using namespace handgrad;

namespace {

SplitOptions standardised() {
  SplitOptions options;
  options.standardise = true;
  return options;
}

// The images of an epoch as a network gets them.
Tensor epoch_of(const Examples& examples, const std::vector<std::uint64_t>& data_seeds,
                const AugmentOptions& augment = {}) {
  Batches batches(examples, static_cast<std::int64_t>(data_seeds.size()), 32, data_seeds, true, false,
                  augment);
  std::vector<Tensor> images;
  for (std::int64_t step = 0; step < batches.per_epoch(); ++step)
    images.push_back(batches.at(step).images.clone());
  return at::cat(images);
}

}  // namespace

TEST_CASE("standardised training images have mean 0 and deviation 1, in each lane by its own", "[data]") {
  const Dataset dataset = small_dataset(200, 20);
  const Splits alone = split(dataset, standardised(), at::kDouble);
  const Tensor images = epoch_of(alone.train, {1});
  CHECK(images.mean().item<double>() == Approx(0).margin(1e-12));
  CHECK(images.std(false).item<double>() == Approx(1).epsilon(1e-12));
  // Those of the other sets are changed by the same numbers, which are not theirs.
  CHECK(at::equal(alone.test.standardisation.mean, alone.train.standardisation.mean));
  CHECK(std::abs(epoch_of(alone.test, {1}).mean().item<double>()) > 1e-6);

  const Splits lanes = split(dataset, standardised(), {1, 2}, at::kDouble);
  const Tensor both = epoch_of(lanes.train, {1, 2});
  CHECK(at::equal(both.select(1, 0), images));
  CHECK(both.select(1, 1).mean().item<double>() == Approx(0).margin(1e-12));
  CHECK_FALSE(at::equal(lanes.train.standardisation.mean[0], lanes.train.standardisation.mean[1]));

  // Augmented images have what lies outside of them in black, as they would have it without.
  const AugmentOptions far{0, 0, 0, 4, 0};
  const Tensor plain = epoch_of(split(dataset, SplitOptions(), at::kDouble).train, {1}, far);
  const Standardisation by = alone.train.standardisation;
  CHECK(at::allclose(epoch_of(alone.train, {1}, far), (plain - by.mean) / by.deviation, 1e-12, 1e-12));
}

TEST_CASE("images that are all of one grey are standardised to 0", "[data]") {
  Dataset dataset = small_dataset(40, 20);
  std::fill(dataset.train_images.values.begin(), dataset.train_images.values.end(), std::uint8_t{51});
  const Splits grey = split(dataset, standardised(), at::kDouble);
  CHECK(epoch_of(grey.train, {1}).abs().max().item<double>() == Approx(0).margin(1e-12));
}

TEST_CASE("a network trained on standardised images takes them as they are", "[training]") {
  const auto place = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const Dataset dataset = small_dataset(200, 50);
  const Splits data = split(dataset, standardised(), at::kDouble);
  const Splits plain = split(dataset, SplitOptions(), at::kDouble);
  TrainingOptions options;
  options.epochs = 4;
  options.batch_size = 16;
  options.seeds = {1, 2};
  TrainingObserver nobody;
  Network network({30, {6}, 3, place}, 2, at::kDouble);
  const TrainingResult result = train(network, data, options, nobody);
  const std::vector<LossAndAccuracy> as_they_are = evaluate(network, plain.test);
  for (std::size_t r = 0; r < 2; ++r) {
    CHECK(as_they_are[r].loss == Approx(result.replicas[r].test.loss).epsilon(1e-9));
    CHECK(as_they_are[r].loss < 0.9 * std::log(3.0));  // it has learned something
  }

  // Training begins with what a network does to images as they are, and leaves it so.
  options.initialise = false;
  options.epochs = 0;
  const Tensor before = network.parameters.flat.clone();
  const TrainingResult again = train(network, data, options, nobody);
  CHECK(at::allclose(network.parameters.flat, before, 1e-12, 1e-12));
  CHECK(again.replicas[0].test.loss == Approx(result.replicas[0].test.loss).epsilon(1e-9));
}
