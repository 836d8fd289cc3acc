// Checks that the memory of a training is foretold.
#include "handgrad/train/footprint.h"

#include <numeric>

#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "handgrad/train/trainer.h"
#include "test.h"
#include "train/storage_counter.h"

using namespace handgrad;
using Catch::Contains;

namespace {

struct Case {
  Architecture architecture;
  OptimizerOptions::Kind optimizer;
  std::int64_t batch_size, replicas, lanes;
  bool own_values, notebook;
  std::int64_t shards = 1;
  BatchNormOptions::Statistics statistics = BatchNormOptions::Statistics::batch;
};

const Dataset& dataset() {
  static const Dataset data = small_dataset(1500, 300, 12, 12, 4);
  return data;
}

SplitOptions split_options(const Case& c) {
  return {SplitOptions::Kind::official, 0.2, 1, c.notebook};
}

TrainingShape shape_of(const Case& c) {
  TrainingShape shape;
  shape.architecture = c.architecture;
  shape.network.batch_norm.evaluate_with_running_average = !c.notebook;
  shape.network.shards = c.shards;
  shape.network.batch_norm.statistics = c.statistics;
  shape.images = split_indices(dataset().train_count(), dataset().test_count(), split_options(c));
  shape.replicas = c.replicas;
  shape.lanes = c.lanes;
  TrainingOptions& options = shape.options;
  options.optimizer.kind = c.optimizer;
  options.batch_size = c.batch_size;
  options.epochs = 2;
  options.report_epochs = {1};
  options.seeds.resize(static_cast<std::size_t>(c.replicas));
  std::iota(options.seeds.begin(), options.seeds.end(), 1);
  options.data_seeds.resize(static_cast<std::size_t>(c.lanes));
  std::iota(options.data_seeds.begin(), options.data_seeds.end(), 1);
  options.l2.assign(static_cast<std::size_t>(c.replicas), 0.01);
  options.learning_rate = options.l2;
  if (c.own_values) options.l2.back() = options.learning_rate.back() = 0.005;
  return shape;
}

void train_all(const TrainingShape& shape, const Case& c) {
  const Splits splits = split(dataset(), split_options(c), shape.options.data_seeds, at::kFloat);
  Network network(shape.architecture, shape.replicas, at::kFloat, shape.network);
  TrainingObserver nobody;
  train(network, splits, shape.options, nobody);
}

}  // namespace

TEST_CASE("a training takes the memory that was foretold", "[memory]") {
  using Kind = OptimizerOptions::Kind;
  const Case c =
      GENERATE(Case{{144, {20, 7, 5}, 4, BatchNormPlace::none}, Kind::sgd, 32, 1, 1, false, false},
               Case{{144, {20, 7, 5}, 4, BatchNormPlace::none}, Kind::sgd, 32, 100, 1, false, false},
               Case{{144, {20, 7, 5}, 4, BatchNormPlace::after}, Kind::adam, 32, 100, 1, true, false},
               Case{{144, {64}, 4, BatchNormPlace::after}, Kind::nesterov, 100, 30, 1, true, true},
               Case{{144, {}, 4, BatchNormPlace::none}, Kind::sgd, 32, 200, 1, true, false},
               Case{{144, {20, 7, 5}, 4, BatchNormPlace::none}, Kind::sgd, 32, 100, 100, false, false},
               Case{{144, {20, 7, 5}, 4, BatchNormPlace::after}, Kind::adamw, 32, 120, 30, true, false},
               Case{{144, {20, 7, 5}, 4, BatchNormPlace::before}, Kind::adam, 32, 100, 1, true, false},
               Case{{144, {20, 7, 5}, 4, BatchNormPlace::before}, Kind::adam, 32, 100, 1, true, false, 8},
               Case{{144, {20, 7, 5}, 4, BatchNormPlace::after},
                    Kind::sgd,
                    32,
                    100,
                    1,
                    false,
                    false,
                    8,
                    BatchNormOptions::Statistics::shard},
               Case{{144, {20, 7, 5}, 4, BatchNormPlace::after}, Kind::momentum, 32, 24, 12, false, true});
  CAPTURE(c.architecture.description(), c.replicas, c.lanes, c.notebook);
  const TrainingShape shape = shape_of(c);
  const std::int64_t peak = storages_of([&] { train_all(shape, c); }).peak;
  const std::int64_t foretold = training_bytes(shape);
  CAPTURE(peak, foretold);
  CHECK(peak > 1000000);
  CHECK(peak <= foretold);
  CHECK(foretold <= peak + peak / 4);
}

TEST_CASE("what augmenting takes is foretold, here and on a GPU", "[memory]") {
  const Case c = GENERATE(
      Case{{144, {20, 7, 5}, 4, BatchNormPlace::none}, OptimizerOptions::Kind::sgd, 32, 1, 1, false, false},
      Case{{144, {20, 7, 5}, 4, BatchNormPlace::after}, OptimizerOptions::Kind::sgd, 32, 8, 4, false, false});
  TrainingShape shape = shape_of(c);
  shape.options.augment.preset = AugmentChoice::Preset::strong;
  const std::int64_t peak = storages_of([&] { train_all(shape, c); }).peak;
  const std::int64_t foretold = training_bytes(shape);
  CAPTURE(peak, foretold);
  CHECK(peak <= foretold);
  CHECK(foretold <= peak + peak / 4);
  // The operations that a GPU runs, here: of a block of 512 images of all lanes.
  const Tensor pixels = at::randint(256, {512, 144}, at::kByte);
  Tensor images = at::empty({512, 144}, at::kFloat);
  const std::int64_t operations =
      storages_of([&] {
        Augmenter({12, 12}).augment_by_operations(images, pixels, at::arange(512),
                                                  {shape.options.augment.options(), {1}, 0, 0});
      }).peak;
  shape.on_gpu = true;
  // And the bytes of images that it evaluates in lanes: the validation set, and others in turn.
  const std::int64_t evaluated_bytes = c.lanes == 1 ? 0 : c.lanes * 144 * (300 + evaluation_batch_size);
  CHECK(operations + evaluated_bytes <= training_bytes(shape) - foretold);
  CHECK(training_bytes(shape) - foretold <= operations + operations / 4 + evaluated_bytes);
}

TEST_CASE("as many networks as fit into memory, and no more", "[memory]") {
  const Case c{
      {144, {20, 7, 5}, 4, BatchNormPlace::after}, OptimizerOptions::Kind::sgd, 32, 4, 1, false, false};
  const bool lane_each = GENERATE(false, true);
  TrainingShape shape = shape_of(c);
  const std::int64_t bytes = GENERATE(5000000, 40000000, 1000000000, 100000000000);
  const std::int64_t fitting = replicas_that_fit(shape, bytes, lane_each);
  CAPTURE(lane_each, bytes, fitting);
  REQUIRE(fitting > 0);
  const auto bytes_of = [&](std::int64_t replicas) {
    shape.replicas = replicas;
    if (lane_each) shape.lanes = replicas / 4;
    return training_bytes(shape);
  };
  CHECK(bytes_of(fitting) <= bytes);
  CHECK(bytes_of(fitting + (lane_each ? 4 : 1)) > bytes);
  CHECK(replicas_that_fit(shape_of(c), 1000, lane_each) == 0);
}

TEST_CASE("too many networks are refused with the number that fits", "[memory]") {
  const at::Device device(GENERATE(at::kCPU, at::kCUDA));
  const std::int64_t free = std::int64_t{4} << 30;
  TrainingShape shape = shape_of({{144, {20, 7, 5}, 4, BatchNormPlace::after},
                                  OptimizerOptions::Kind::sgd,
                                  32,
                                  1000000,
                                  1,
                                  false,
                                  false});
  const std::int64_t fitting = replicas_that_fit(shape, usable_bytes(free, device));
  CHECK_THROWS_AS(require_memory(shape, device, free), DeviceError);
  CHECK_THROWS_WITH(require_memory(shape, device, free),
                    Contains("replicas: 1000000 networks need") && Contains("4.0 GiB") &&
                        Contains(std::to_string(fitting) + " would fit"));
  CHECK_THROWS_WITH(require_memory(shape, device, 1 << 20), Contains("not even one would fit"));
  shape.replicas = 1;
  CHECK_THROWS_WITH(require_memory(shape, device, 1 << 20), Contains("hidden: a network needs"));
  shape.replicas = fitting;
  shape.options.seeds.clear();
  CHECK_NOTHROW(require_memory(shape, device, free));
  CHECK_THROWS_WITH(require_memory(shape, device, free, 2),
                    Contains("threads: 2 trainings at a time need") && Contains("1 at a time would fit"));
  shape.checkpoints = true;  // takes more of the same memory
  CHECK_THROWS_AS(require_memory(shape, device, free), DeviceError);
}
