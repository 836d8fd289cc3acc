// Networks side by side that see different images.
#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "handgrad/train/evaluator.h"
#include "handgrad/train/trainer.h"
#include "test.h"

using namespace handgrad;

namespace {

// Two networks in each of three lanes, each with values of its own.
TrainingOptions options_of_lanes(BatchNormPlace batch_norm) {
  TrainingOptions options;
  options.batch_size = 7;  // 12 steps an epoch, the last of three images
  options.epochs = 9;
  options.seeds = {4, 5, 6, 7, 8, 9};
  options.data_seeds = {11, 12, 13};
  options.l2 = {0.0, 0.1, 0.2, 0.3, 0.4, 0.5};
  // With batch norm the last bits of a product, which depend on its shape, grow fast at the usual rates.
  const double rate = batch_norm != BatchNormPlace::none ? 0.001 : 0.05;
  options.learning_rate = {rate, rate / 2, rate, rate / 2, rate, rate / 2};
  options.evaluate_every = {5, Interval::Unit::steps};
  options.patience = 1000;
  return options;
}

// The training of network r alone.
TrainingOptions options_of_network(TrainingOptions options, std::size_t r) {
  options.seeds = {options.seeds[r]};
  options.data_seeds = {options.data_seeds[r / 2]};
  options.l2 = {options.l2[r]};
  options.learning_rate = {options.learning_rate[r]};
  return options;
}

Tensor parameters_of(const Network& network, std::int64_t replica) {
  std::vector<Tensor> parts;
  for (const auto& [name, tensor] :
       named_tensors(network.architecture(), network.parameters, network.running, replica)) {
    parts.push_back(tensor.flatten());
  }
  return at::cat(parts);
}

// Keeps the validation losses of every evaluation.
class Losses : public TrainingObserver {
 public:
  void on_evaluation(const EvaluationRecord& record) override { records.push_back(record); }

  std::vector<EvaluationRecord> records;
};

}  // namespace

TEST_CASE("each lane trains on images of its own, as a network alone does", "[lanes]") {
  const Dataset dataset = small_dataset(110, 30);
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const bool split_twice = GENERATE(false, true);
  NetworkOptions network_options;
  network_options.clamp_probabilities = split_twice;
  const bool regularised = GENERATE(false, true);
  const SplitOptions::Kind kind = GENERATE(SplitOptions::Kind::official, SplitOptions::Kind::pooled);
  const SplitOptions split_options{kind, 0.2, 1, split_twice, regularised, regularised};
  const Architecture architecture{30, {8, 6}, 3, batch_norm};
  CAPTURE(name_of(batch_norm), split_twice, regularised, kind == SplitOptions::Kind::pooled);

  TrainingOptions options = options_of_lanes(batch_norm);
  options.watch_penalty = split_twice;
  if (regularised) {
    network_options.dropout = {0.1, 0.2};
    options.label_smoothing = 0.1;
    options.clip = 0.3;
    options.augment.preset = AugmentChoice::Preset::strong;
    options.schedule.kind = RateScheduleOptions::Kind::cosine;
    options.augment_final = 0.5;
  }
  const Splits lanes = split(dataset, split_options, options.data_seeds, at::kDouble);
  REQUIRE(lanes.train.lanes() == 3);
  Network ensemble(architecture, 6, at::kDouble, network_options);
  Losses of_ensemble;
  const TrainingResult together = train(ensemble, lanes, options, of_ensemble);
  for (std::size_t r = 0; r < 6; ++r) {
    CAPTURE(r);
    SplitOptions of_lane = split_options;
    of_lane.seed = options.data_seeds[r / 2];
    const Splits splits = split(dataset, of_lane, at::kDouble);
    Network solo(architecture, 1, at::kDouble, network_options);
    Losses of_solo;
    const TrainingResult alone = train(solo, splits, options_of_network(options, r), of_solo);
    const Tensor expected = parameters_of(solo, 0);
    const Tensor difference = parameters_of(ensemble, static_cast<std::int64_t>(r)) - expected;
    CHECK((difference.norm() / expected.norm()).item<double>() <= 1e-11);
    const ReplicaResult& here = together.replicas[r];
    const ReplicaResult& there = alone.replicas[0];
    CHECK(here.best_step == there.best_step);
    CHECK(here.train.loss == Approx(there.train.loss));
    CHECK(here.train.accuracy == there.train.accuracy);
    CHECK(here.validation->loss == Approx(there.validation->loss));
    CHECK(here.test.loss == Approx(there.test.loss));
    CHECK(here.test.accuracy == there.test.accuracy);
    CHECK(here.train_cost == Approx(there.train_cost));
    CHECK(*here.validation_cost == Approx(*there.validation_cost));
    REQUIRE(of_ensemble.records.size() == of_solo.records.size());
    for (std::size_t i = 0; i < of_solo.records.size(); ++i) {
      CHECK(of_ensemble.records[i].validation[r].loss == Approx(of_solo.records[i].validation[0].loss));
    }
  }
}

TEST_CASE("the sets of a lane are those of its seed alone", "[lanes]") {
  const Dataset dataset = small_dataset(60, 20);
  const std::vector<std::uint64_t> seeds = {3, 8};
  const Splits lanes = split(dataset, {}, seeds, at::kDouble);
  for (std::size_t k = 0; k < 2; ++k) {
    const Splits alone = split(dataset, {SplitOptions::Kind::official, 0.2, seeds[k]}, at::kDouble);
    const std::pair<const Examples&, const Examples&> sets[] = {{lanes.train, alone.train},
                                                                {lanes.validation, alone.validation},
                                                                {lanes.test, alone.test},
                                                                {lanes.measured, alone.measured},
                                                                {lanes.watched, alone.watched}};
    for (const auto& [of_lanes, expected] : sets) {
      REQUIRE(of_lanes.count() == expected.count());
      const Tensor rows = of_lanes.rows[static_cast<std::int64_t>(k)];
      CHECK(at::equal(of_lanes.pixels.index_select(0, rows), expected.pixels));
      CHECK(at::equal(of_lanes.targets.index_select(0, rows), expected.targets));
    }
  }
}

TEST_CASE("each lane is evaluated on images of its own, also where they come in several parts", "[lanes]") {
  const Dataset dataset = small_dataset(5000, 1000);
  const SplitOptions options{SplitOptions::Kind::pooled, 0.2, 1};
  const std::vector<std::uint64_t> seeds = {3, 8};
  const Architecture architecture{30, {8, 6}, 3, BatchNormPlace::none};
  const Splits lanes = split(dataset, options, seeds, at::kDouble);
  REQUIRE(lanes.test.count() > evaluation_batch_size);
  Network both(architecture, 2, at::kDouble);
  both.initialise(seeds);
  const std::vector<LossAndAccuracy> together = Evaluator(both, lanes.test).evaluate();
  for (std::size_t k = 0; k < 2; ++k) {
    const Splits alone = split(dataset, {options.kind, 0.2, seeds[k]}, at::kDouble);
    Network one(architecture, 1, at::kDouble);
    one.initialise({seeds[k]});
    const LossAndAccuracy expected = Evaluator(one, alone.test).evaluate().front();
    CHECK(together[k].loss == Approx(expected.loss).epsilon(1e-12));
    CHECK(together[k].accuracy == expected.accuracy);
  }
}

TEST_CASE("networks that cannot be divided among lanes, or batch orders that are missing, are refused",
          "[lanes]") {
  const Dataset dataset = small_dataset(60, 20);
  const Splits lanes = split(dataset, {}, {1, 2}, at::kDouble);
  TrainingObserver nobody;
  TrainingOptions options;
  options.epochs = 1;
  options.batch_size = 8;
  options.seeds = {1, 2, 3};
  Network three({30, {4}, 3, BatchNormPlace::none}, 3, at::kDouble);
  options.data_seeds = {1, 2};
  CHECK_THROWS_AS(train(three, lanes, options, nobody), ArgumentError);
  options.data_seeds = {1};
  CHECK_THROWS_WITH(train(three, lanes, options, nobody),
                    "1 data seeds for 2 lanes of images; each lane needs its own");
  options.data_seeds.clear();
  CHECK_THROWS_AS(train(three, lanes, options, nobody), ArgumentError);
}
