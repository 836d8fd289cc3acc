// Training: determinism, ensembles, batch order, early stopping, faults.
#include "handgrad/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "handgrad/data/batches.h"
#include "handgrad/data/synthetic.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

class Records : public TrainingObserver {
 public:
  void on_train(const TrainRecord& record) override { train.push_back(record); }
  void on_evaluation(const EvaluationRecord& record) override { evaluations.push_back(record); }
  void on_step(std::int64_t step, std::int64_t) override { steps = step; }
  Request requested(std::int64_t step, bool) override {
    return step == stop_at ? Request::stop : Request::none;
  }

  std::vector<TrainRecord> train;
  std::vector<EvaluationRecord> evaluations;
  std::int64_t steps = 0;
  std::int64_t stop_at = -1;
};

Architecture small_architecture(BatchNormPlace batch_norm = BatchNormPlace::none) {
  return {30, {8, 6}, 3, batch_norm};
}

TrainingOptions small_options() {
  TrainingOptions options;
  options.batch_size = 8;
  options.epochs = 4;
  options.learning_rate = {0.05};
  return options;
}

// Division where the library multiplies by 1/255: they differ in the last bit only.
Tensor scaled(const Tensor& pixels) {
  return pixels.to(at::kDouble).div(255);
}

Tensor flat_of(const Network& network, std::int64_t replica) {
  std::vector<Tensor> parts;
  for (const auto& [name, tensor] :
       named_tensors(network.architecture(), network.parameters, network.running, replica)) {
    parts.push_back(tensor.flatten());
  }
  return at::cat(parts);
}

}  // namespace

TEST_CASE("what is evaluated is never augmented", "[training]") {
  const Dataset dataset = small_dataset(200, 40);
  const Splits splits = split(dataset, {}, at::kDouble);
  const auto trained = [&](AugmentChoice::Preset preset) {
    TrainingOptions options;
    options.epochs = 4;
    options.batch_size = 16;
    options.learning_rate = {1.2e-38};  // the network stays what it is
    options.augment.preset = preset;
    Network network({30, {8, 6}, 3}, 1, at::kDouble);
    TrainingObserver nobody;
    return train(network, splits, options, nobody).replicas[0];
  };
  const ReplicaResult plain = trained(AugmentChoice::Preset::none);
  const ReplicaResult augmented = trained(AugmentChoice::Preset::strong);
  CHECK(augmented.train.loss == plain.train.loss);
  CHECK(augmented.validation->loss == plain.validation->loss);
  CHECK(augmented.test.loss == plain.test.loss);
  CHECK(augmented.train_cost != plain.train_cost);
}

TEST_CASE("training learns, and nothing requires a gradient", "[training]") {
  const Splits splits = split(small_dataset(300, 60), {}, at::kFloat);
  Network network(small_architecture(), 1, at::kFloat);
  Records records;
  TrainingOptions options = small_options();
  options.epochs = 30;
  const TrainingResult result = train(network, splits, options, records);
  CHECK(result.steps == 30 * 30);
  CHECK(result.stopped == StopReason::max_epochs);
  CHECK(result.microseconds_per_step > 0);
  CHECK(result.replicas[0].test.accuracy > 0.95);
  REQUIRE(records.train.size() == 9);
  CHECK(records.train[0].step == 100);
  CHECK(records.train[0].epoch == 4);
  CHECK(records.train.back().loss[0] < records.train.front().loss[0]);
  CHECK(records.evaluations.size() == 30);
  for (const Tensor& tensor : {network.parameters.flat, network.gradients.flat, network.running.flat}) {
    CHECK_FALSE(tensor.requires_grad());
    CHECK_FALSE(tensor.grad_fn());
  }
}

TEST_CASE("the epoch order is a permutation, a function of seed and epoch", "[training]") {
  const std::vector<std::int64_t> order = epoch_order(1000, 3, 5);
  CHECK(at::equal(std::get<0>(at::tensor(order).sort()), at::arange(1000)));
  CHECK(order == epoch_order(1000, 3, 5));
  CHECK(order != epoch_order(1000, 3, 6));
  CHECK(order != epoch_order(1000, 4, 5));
}

TEST_CASE("the initial weights have the variance of He et al. and the biases are zero", "[training]") {
  Network network({784, {200}, 10, BatchNormPlace::after}, 2, at::kDouble);
  network.initialise({5, 6});
  const Tensor& weight = network.parameters.weight[0];
  CHECK(weight[0].var().item<double>() == Approx(2.0 / 784).epsilon(0.02));
  CHECK(std::abs(weight[0].mean().item<double>()) < 3 * std::sqrt(2.0 / 784 / (784 * 200)));
  CHECK_FALSE(at::equal(weight[0], weight[1]));
  CHECK(network.parameters.bias[0].norm().item<double>() == 0);
  CHECK(at::equal(network.parameters.gamma[0], at::ones({2, 200}, at::kDouble)));
}

TEST_CASE("a network of an ensemble equals the solo run", "[training]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const bool own_values = GENERATE(false, true);
  Dataset dataset;
  dataset.classes = 10;
  LabelledImages digits = synthetic_digits(1200, 1);
  dataset.train_images = digits.images;
  dataset.train_labels = digits.labels;
  dataset.test_images = std::move(digits.images);
  dataset.test_labels = std::move(digits.labels);
  const Splits splits = split(dataset, {}, at::kDouble);
  const Architecture architecture{784, {20, 7, 5}, 10, batch_norm};
  TrainingOptions options;
  options.epochs = 7;  // 210 steps
  options.evaluate_every = {50, Interval::Unit::steps};
  options.seeds = {4, 5, 6};
  options.data_seeds = {9};
  // With batch norm, training at the usual rate is chaotic: the last bits of a product, which depend on its
  // shape, grow ten thousandfold every 50 steps, with any code. A small rate keeps them small.
  const double rate = batch_norm != BatchNormPlace::none ? 0.0002 : 0.009;
  options.learning_rate = {rate};
  if (own_values) {
    options.l2 = {0.0, 0.1, 0.4};
    options.learning_rate = {rate, rate / 2, rate / 3};
  }
  Records records;
  Network ensemble(architecture, 3, at::kDouble);
  const TrainingResult together = train(ensemble, splits, options, records);
  for (std::size_t r = 0; r < 3; ++r) {
    CAPTURE(name_of(batch_norm), own_values, r);
    TrainingOptions solo_options = options;
    solo_options.seeds = {options.seeds[r]};
    solo_options.l2 = {options.l2[own_values ? r : 0]};
    solo_options.learning_rate = {options.learning_rate[own_values ? r : 0]};
    Network solo(architecture, 1, at::kDouble);
    const TrainingResult alone = train(solo, splits, solo_options, records);
    const Tensor expected = flat_of(solo, 0);
    const Tensor difference = flat_of(ensemble, static_cast<std::int64_t>(r)) - expected;
    const double relative = (difference.norm() / expected.norm()).item<double>();
    CAPTURE(fmt::format("{:.1e}", relative));
    CHECK(relative <= 1e-12);
    CHECK(together.replicas[r].best_step == alone.replicas[0].best_step);
    CHECK(together.replicas[r].l2_penalty == Approx(alone.replicas[0].l2_penalty));
  }
}

TEST_CASE("the same seeds give the same bits, others do not", "[training]") {
  const Splits splits = split(small_dataset(100, 20), {}, at::kFloat);
  const auto trained = [&](std::uint64_t seed, std::uint64_t data_seed) {
    TrainingOptions options = small_options();
    options.seeds = {seed};
    options.data_seeds = {data_seed};
    Network network(small_architecture(BatchNormPlace::after), 1, at::kFloat);
    Records records;
    train(network, splits, options, records);
    return flat_of(network, 0);
  };
  CHECK(at::equal(trained(1, 1), trained(1, 1)));
  CHECK_FALSE(at::equal(trained(1, 1), trained(2, 1)));
  CHECK_FALSE(at::equal(trained(1, 1), trained(1, 2)));
}

TEST_CASE("a last, smaller batch counts with its own size", "[training]") {
  // One epoch of 8 + 3 images is two steps, which are here taken by hand.
  const Splits splits = split(small_dataset(11, 4), {SplitOptions::Kind::official, 0.0, 1}, at::kDouble);
  TrainingOptions options = small_options();
  options.epochs = 1;
  options.l2 = {0.3};
  Network network(small_architecture(), 1, at::kDouble);
  Records records;
  const TrainingResult result = train(network, splits, options, records);
  CHECK(result.steps == 2);
  CHECK_FALSE(result.replicas[0].validation.has_value());

  Network by_hand(small_architecture(), 1, at::kDouble);
  by_hand.initialise({1});
  const L2 l2({0.3}, by_hand.parameters);
  const Tensor order = at::tensor(epoch_order(11, 1, 0));
  for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 8}, {8, 11}}) {
    const Tensor chosen = order.slice(0, begin, end);
    Workspace workspace(by_hand, end - begin, Use::training);
    by_hand.forward_backward(workspace, scaled(splits.train.pixels.index_select(0, chosen)),
                             splits.train.targets.index_select(0, chosen).unsqueeze(1), l2);
    by_hand.parameters.flat.sub_(by_hand.gradients.flat, 0.05);
  }
  CHECK(at::allclose(network.parameters.flat, by_hand.parameters.flat, 0, 1e-14));
}

TEST_CASE("early stopping waits for patience and restores the best parameters", "[training]") {
  const Splits splits = split(small_dataset(60, 20), {}, at::kDouble);
  TrainingOptions options = small_options();
  options.epochs = 200;
  options.learning_rate = {2.0};
  options.patience = 3;
  Network network(small_architecture(), 1, at::kDouble);
  Records records;
  const TrainingResult result = train(network, splits, options, records);
  CHECK(result.stopped == StopReason::early_stopping);
  CHECK(result.epochs < 200);

  double best = std::numeric_limits<double>::infinity();
  std::int64_t best_step = 0;
  for (const EvaluationRecord& record : records.evaluations) {
    if (best - record.validation[0].loss <= options.min_delta) continue;
    best = record.validation[0].loss;
    best_step = record.step;
  }
  CHECK(result.replicas[0].best_step == best_step);
  CHECK(result.replicas[0].validation->loss == best);
  CHECK(records.evaluations.back().step == best_step + 3 * 6);
}

TEST_CASE("a network that stops early keeps its best while others go on", "[training]") {
  const Splits splits = split(small_dataset(60, 20), {}, at::kDouble);
  TrainingOptions options = small_options();
  options.epochs = 40;
  options.patience = 3;
  options.seeds = {1, 1};
  options.learning_rate = {2.0, 0.01};
  Network pair(small_architecture(), 2, at::kDouble);
  Records records;
  const TrainingResult together = train(pair, splits, options, records);
  CHECK(together.replicas[0].stopped == StopReason::early_stopping);
  CHECK(together.replicas[1].stopped == StopReason::max_epochs);

  options.seeds = {1};
  options.learning_rate = {2.0};
  Network solo(small_architecture(), 1, at::kDouble);
  train(solo, splits, options, records);
  CHECK(at::allclose(flat_of(pair, 0), flat_of(solo, 0), 1e-10, 1e-12));
}

TEST_CASE("no epochs: initial parameters, evaluated", "[training]") {
  const Splits splits = split(small_dataset(60, 20), {}, at::kDouble);
  TrainingOptions options = small_options();
  options.epochs = 0;
  Network network(small_architecture(BatchNormPlace::after), 1, at::kDouble);
  Records records;
  const TrainingResult result = train(network, splits, options, records);
  Network initial(small_architecture(BatchNormPlace::after), 1, at::kDouble);
  initial.initialise({1});
  CHECK(at::equal(network.parameters.flat, initial.parameters.flat));
  CHECK(result.steps == 0);
  CHECK(std::isfinite(result.replicas[0].test.loss));
}

TEST_CASE("a stop request ends training with what there is", "[training]") {
  const Splits splits = split(small_dataset(60, 20), {}, at::kDouble);
  Network network(small_architecture(), 1, at::kDouble);
  Records records;
  records.stop_at = 7;
  const TrainingResult result = train(network, splits, small_options(), records);
  CHECK(result.stopped == StopReason::interrupted);
  CHECK(result.steps == 7);
  CHECK(result.replicas[0].best_step == 7);
}

TEST_CASE("a loss that is NaN or infinite ends training and names step and layer", "[training]") {
  const Splits splits = split(small_dataset(400, 20), {}, at::kFloat);
  TrainingOptions options = small_options();
  Records records;
  SECTION("of all networks") {
    options.learning_rate = {1e30};
    Network network(small_architecture(), 1, at::kFloat);
    const TrainingResult result = train(network, splits, options, records);
    CHECK(result.stopped == StopReason::non_finite);
    CHECK(result.replicas[0].fault == "step 2: the output of layer 2 (8 → 6) is no longer finite");
    CHECK_FALSE(std::isfinite(result.replicas[0].test.loss));
  }
  SECTION("long before anybody evaluates") {
    options.learning_rate = {1e30};
    options.evaluate_every = {3 * steps_per_record, Interval::Unit::steps};
    options.epochs = 100;
    Network network(small_architecture(), 1, at::kFloat);
    const TrainingResult result = train(network, splits, options, records);
    CHECK(result.replicas[0].steps == steps_per_record);
    CHECK(result.replicas[0].fault == "step 2: the output of layer 2 (8 → 6) is no longer finite");
  }
  SECTION("of one network, which leaves the other as it would have been alone") {
    options.learning_rate = {1e30, 0.05};
    options.seeds = {1, 2};
    Network pair(small_architecture(), 2, at::kFloat);
    const TrainingResult result = train(pair, splits, options, records);
    CHECK(result.replicas[0].stopped == StopReason::non_finite);
    CHECK_THAT(result.replicas[0].fault, Contains("step 2"));
    CHECK(result.replicas[1].stopped == StopReason::max_epochs);
    options.learning_rate = {0.05};
    options.seeds = {2};
    Network solo(small_architecture(), 1, at::kFloat);
    const TrainingResult alone = train(solo, splits, options, records);
    CHECK(result.replicas[1].test.accuracy == Approx(alone.replicas[0].test.accuracy));
  }
}

TEST_CASE("a last update that leaves the finite numbers is found, whoever looks last", "[training]") {
  const double fraction = GENERATE(0.0, 0.2);
  const Splits splits =
      split(small_dataset(100, 20), {SplitOptions::Kind::official, fraction, 1}, at::kFloat);
  TrainingOptions options = small_options();
  options.batch_size = splits.train.count();
  options.epochs = 1;
  options.learning_rate = {1e38};
  Network network(small_architecture(), 1, at::kFloat);
  Records records;
  const TrainingResult result = train(network, splits, options, records);
  CHECK(result.replicas[0].stopped == StopReason::non_finite);
  CHECK_THAT(result.replicas[0].fault, Contains("step 1") && Contains("no longer finite"));
}

TEST_CASE("a best that was found before the numbers got lost is kept", "[training]") {
  const Splits splits = split(small_dataset(100, 20), {}, at::kFloat);
  TrainingOptions options = small_options();
  options.epochs = 200;
  options.patience = 1000;
  options.evaluate_every = {1, Interval::Unit::steps};
  options.learning_rate = {0.1};
  options.l2 = {404};  // shrinks the weights by −4 times a step: they explode
  Network network({30, {}, 3, BatchNormPlace::none}, 1, at::kFloat);
  Records records;
  const TrainingResult result = train(network, splits, options, records);
  CHECK(result.stopped == StopReason::non_finite);
  CHECK(result.replicas[0].stopped == StopReason::non_finite);
  CHECK_FALSE(result.replicas[0].fault.empty());
  CHECK(std::isfinite(result.replicas[0].test.loss));
  CHECK(result.replicas[0].best_step < 10);
}

TEST_CASE("bn-no-backward leaves γ and β as they are", "[training]") {
  const Splits splits = split(small_dataset(100, 20), {}, at::kDouble);
  TrainingOptions options = small_options();
  options.optimizer.kind = OptimizerOptions::Kind::adam;
  NetworkOptions no_backward;
  no_backward.batch_norm.backward = false;
  Network network(small_architecture(BatchNormPlace::after), 1, at::kDouble, no_backward);
  Records records;
  train(network, splits, options, records);
  CHECK(at::equal(network.parameters.gamma[0], at::ones({1, 8}, at::kDouble)));
  CHECK(at::equal(network.parameters.beta[1], at::zeros({1, 6}, at::kDouble)));
}

TEST_CASE("options out of range and batches that do not fit are refused", "[training]") {
  const Architecture architecture = small_architecture(BatchNormPlace::after);
  const TrainingOptions good = small_options();
  const auto refusal = [&](TrainingOptions options, std::int64_t images = 80) {
    try {
      validate(options, architecture, 1, images);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal(good).empty());
  NetworkOptions by_shard;
  by_shard.shards = 4;
  by_shard.batch_norm.statistics = BatchNormOptions::Statistics::shard;
  CHECK_NOTHROW(validate(good, architecture, 1, 2 * good.batch_size + 8, by_shard));
  CHECK_THROWS_WITH(validate(good, architecture, 1, 2 * good.batch_size + 7, by_shard),
                    Contains("leaves a batch of 7 images") && Contains("in 4 shards; choose another size"));
  TrainingOptions bad = good;
  bad.learning_rate = {std::nan("")};
  CHECK_THAT(refusal(bad), Contains("learning_rate: got nan"));
  bad = good;
  bad.l2 = {-1};
  CHECK_THAT(refusal(bad), Contains("l2: got -1"));
  bad = good;
  bad.batch_size = 0;
  CHECK_THAT(refusal(bad), Contains("batch_size: got 0; must be a whole number from 1 to"));
  bad.batch_size = 1;
  CHECK_THAT(refusal(bad), Contains("batch_size: got 1; must be at least 2 with batch norm"));
  CHECK_THAT(refusal(good, 7), Contains("only 7 images"));
  CHECK_THAT(refusal(good, 81), Contains("single image"));
  bad = good;
  bad.seeds = {1, 2};
  CHECK_THAT(refusal(bad), Contains("2 seeds for 1 network;"));
}

TEST_CASE("evaluation in parts equals evaluation at once", "[training]") {
  const Splits splits = split(small_dataset(2503, 20), {SplitOptions::Kind::official, 0.0, 1}, at::kDouble);
  Network network(small_architecture(BatchNormPlace::after), 2, at::kDouble);
  network.initialise({1, 2});
  network.running.flat.uniform_(0.5, 1.5);
  const std::vector<LossAndAccuracy> in_parts = evaluate(network, splits.train);
  Workspace workspace(network, 2503, Use::evaluation);
  network.forward(workspace, scaled(splits.train.pixels), Use::evaluation);
  const Tensor labels = splits.train.targets.argmax(1);
  for (std::int64_t r = 0; r < 2; ++r) {
    const Tensor logits = workspace.logits().select(1, r);
    const auto& part = in_parts[static_cast<std::size_t>(r)];
    CHECK(part.loss == Approx(at::cross_entropy_loss(logits, labels).item<double>()).epsilon(1e-12));
    CHECK(part.accuracy == Approx(logits.argmax(1).eq(labels).to(at::kDouble).mean().item<double>()));
  }
}

TEST_CASE("whoever leaves while networks are measured has the state to measure them later", "[training]") {
  struct Leave {};
  struct Observer : TrainingObserver {
    void on_checkpoint(TrainingState state) override { saved = std::move(state); }
    void on_measuring(std::int64_t images, std::int64_t total) override {
      seen.push_back(images);
      last_total = total;
      if (leaves && images > 0) throw Leave();
    }
    bool leaves = false;
    std::optional<TrainingState> saved;
    std::vector<std::int64_t> seen;
    std::int64_t last_total = 0;
  };
  const Splits splits = split(small_dataset(200, 30), {SplitOptions::Kind::official, 0.2, 1}, at::kFloat);
  TrainingOptions options;
  options.epochs = 3;
  const auto trained = [&](Observer& observer, const TrainingState* from) {
    Network network({splits.train.pixels.size(1), {5}, splits.train.targets.size(1), BatchNormPlace::none}, 1,
                    at::kFloat);
    return train(network, splits, options, observer, from);
  };
  Observer whole;
  const TrainingResult expected = trained(whole, nullptr);
  REQUIRE(whole.seen.size() > 2);
  CHECK(whole.seen.front() == 0);
  CHECK(whole.seen.back() == whole.last_total);
  CHECK(std::is_sorted(whole.seen.begin(), whole.seen.end()));

  Observer leaving;
  leaving.leaves = true;
  CHECK_THROWS_AS(trained(leaving, nullptr), Leave);
  REQUIRE(leaving.saved);
  Observer returning;
  const TrainingResult result = trained(returning, &*leaving.saved);
  CHECK(result.steps == expected.steps);
  CHECK(result.replicas.front().test.loss == expected.replicas.front().test.loss);
  CHECK(result.replicas.front().best_step == expected.replicas.front().best_step);
}

TEST_CASE("the best parameters are chosen by the loss or by the accuracy", "[training]") {
  const Splits data = split(load_dataset(synthetic_name), {}, at::kFloat);
  TrainingOptions options;
  options.epochs = 1;
  options.evaluate_every = {25, Interval::Unit::steps};
  options.learning_rate = {
      0.5};  // rough: mostly the lowest loss and the highest accuracy are of different steps
  options.monitor = GENERATE(TrainingOptions::Monitor::loss, TrainingOptions::Monitor::accuracy);
  options.patience.reset();
  options.min_delta = 0;
  int told_apart = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    options.seeds = options.data_seeds = {seed};
    Network network({784, {10}, 10}, 1, at::kFloat);
    Records records;
    const TrainingResult result = train(network, data, options, records);
    std::int64_t lowest = 0;
    std::int64_t highest = 0;
    double loss = std::numeric_limits<double>::infinity();
    double accuracy = 0;
    for (const EvaluationRecord& record : records.evaluations) {
      const LossAndAccuracy& validation = record.validation.front();
      if (validation.loss < loss) lowest = record.step;
      if (validation.accuracy > accuracy) highest = record.step;
      loss = std::min(loss, validation.loss);
      accuracy = std::max(accuracy, validation.accuracy);
    }
    CHECK(result.replicas.front().best_step ==
          (options.monitor == TrainingOptions::Monitor::loss ? lowest : highest));
    if (lowest != highest) ++told_apart;
  }
  CHECK(told_apart > 0);
}

TEST_CASE("gradients are shown before the optimizer writes into their buffer, and only to who asks",
          "[training]") {
  class Watcher : public TrainingObserver {
   public:
    explicit Watcher(const Network& network) : network_(network) {}
    void on_evaluation(const EvaluationRecord& record) override {
      evaluated.push_back(record.step);
      parameters.push_back(network_.parameters.flat.clone());
    }
    bool wants_gradients() override { return asks; }
    void on_gradients(std::int64_t step, const Parameters& shown) override {
      steps.push_back(step);
      gradients.push_back(shown.flat.clone());
    }
    bool asks = true;
    std::vector<std::int64_t> steps, evaluated;
    std::vector<Tensor> gradients, parameters;

   private:
    const Network& network_;
  };
  const Splits splits = split(small_dataset(300, 60), {}, at::kFloat);
  TrainingOptions options = small_options();  // of 120 steps, of which some are recorded
  options.evaluate_every = {1, Interval::Unit::steps};
  options.patience.reset();
  options.optimizer.kind = OptimizerOptions::Kind::nesterov;
  Network network(small_architecture(), 1, at::kFloat);
  Watcher watcher(network);
  Records records;
  ObserverList both{&records};
  both.add(watcher);
  train(network, splits, options, both);
  REQUIRE(watcher.gradients.size() == 120);
  CHECK(watcher.steps == watcher.evaluated);
  // b ← μ b + g,  θ ← θ − η (g + μ b) with the gradients that were shown.
  const double momentum = options.optimizer.momentum;
  Tensor velocity = watcher.gradients.front().clone();
  for (std::size_t i = 1; i < watcher.gradients.size(); ++i) {
    CAPTURE(i);
    const Tensor& gradient = watcher.gradients[i];
    velocity = momentum * velocity + gradient;
    const Tensor expected = watcher.parameters[i - 1] - 0.05 * (gradient + momentum * velocity);
    REQUIRE(at::allclose(watcher.parameters[i], expected, 1e-4, 1e-5));
  }

  Network unwatched(small_architecture(), 1, at::kFloat);
  Watcher without(unwatched);
  without.asks = false;
  train(unwatched, splits, options, without);
  CHECK(without.gradients.empty());
  CHECK(at::equal(without.parameters.back(), watcher.parameters.back()));
}

TEST_CASE("the average of a training is that of its parameters, and is kept where it is better",
          "[training]") {
  const Splits data = split(small_dataset(300, 30), {}, at::kFloat);
  TrainingOptions options = small_options();
  options.epochs = 3;
  options.learning_rate = {0.8};
  options.batch_size = 4;  // rough, so that the average is better
  options.evaluate_every = {1, Interval::Unit::steps};
  options.patience.reset();
  options.seeds = {1, 2, 3, 4};
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::before);
  // The parameters after each step, from a training without an average.
  class Steps : public TrainingObserver {
   public:
    explicit Steps(const Network& network) : network_(network) {}
    void on_step(std::int64_t, std::int64_t) override {
      parameters.push_back(network_.parameters.flat.clone());
      running.push_back(network_.running.flat.clone());
    }
    std::vector<Tensor> parameters, running;

   private:
    const Network& network_;
  };
  Network plain(small_architecture(batch_norm), 4, at::kFloat);
  Steps steps(plain);
  train(plain, data, options, steps);
  options.ema = 0.8;
  Network network(small_architecture(batch_norm), 4, at::kFloat);
  Records records;
  const TrainingResult result = train(network, data, options, records);

  Network average(small_architecture(batch_norm), 4, at::kFloat);
  average.parameters.flat.copy_(steps.parameters[0]);
  average.running.flat.copy_(steps.running[0]);
  std::vector<double> lowest(4, std::numeric_limits<double>::infinity());
  std::vector<Tensor> best(4);
  std::vector<bool> averaged(4);
  int improvements_by_average = 0;
  for (std::size_t step = 0; step < steps.parameters.size(); ++step) {
    if (step > 0) {
      average.parameters.flat.mul_(0.8).add_(steps.parameters[step], 0.2);
      average.running.flat.mul_(0.8).add_(steps.running[step], 0.2);
    }
    const EvaluationRecord& record = records.evaluations[step];
    const auto expected = evaluate(average, data.watched);
    for (std::size_t r = 0; r < 4; ++r) {
      CHECK(record.average[r].loss == Approx(expected[r].loss).epsilon(1e-3));
      const bool better = record.average[r].loss < record.validation[r].loss;
      const double loss = std::min(record.average[r].loss, record.validation[r].loss);
      if (lowest[r] - loss <= options.min_delta) continue;
      lowest[r] = loss;
      averaged[r] = better;
      improvements_by_average += better ? 1 : 0;
      plain.parameters.flat.copy_(steps.parameters[step]);
      plain.running.flat.copy_(steps.running[step]);
      best[r] = flat_of(better ? average : plain, static_cast<std::int64_t>(r));
    }
  }
  for (std::size_t r = 0; r < 4; ++r) {
    CHECK(result.replicas[r].averaged == averaged[r]);
    CHECK((flat_of(network, static_cast<std::int64_t>(r)) - best[r]).abs().max().item<double>() < 1e-4);
    CHECK(result.replicas[r].validation->loss == Approx(lowest[r]).epsilon(1e-6));
  }
  CHECK(improvements_by_average > 0);
}

TEST_CASE("without a validation set the average is kept, and re-estimated statistics are those of the set",
          "[training]") {
  SplitOptions split_options;
  split_options.validation_fraction = 0;
  const Splits data = split(small_dataset(300, 30), split_options, at::kFloat);
  const auto place = GENERATE(BatchNormPlace::after, BatchNormPlace::before);
  TrainingOptions options = small_options();
  options.ema = GENERATE(0.0, 0.95);
  options.reestimate_batch_norm = true;
  options.augment.preset = AugmentChoice::Preset::strong;
  Network network(small_architecture(place), 1, at::kFloat);
  Records records;
  const ReplicaResult result = train(network, data, options, records).replicas[0];
  CHECK(result.averaged == (options.ema > 0));
  CHECK(result.reestimated);
  // With its own statistics the whole set, in one batch, gives what evaluation gives: mean 0, variance 1.
  Workspace whole(network, data.train.count(), Use::evaluation);
  network.forward(whole, data.train.pixels.to(at::kFloat).div(255), Use::evaluation);
  for (std::size_t l = 0; l < 2; ++l) {
    const Tensor x = whole.linear_output(static_cast<std::int64_t>(l)).to(at::kDouble);
    CHECK((x.mean(0) - network.running.mean[l]).abs().max().item<double>() < 1e-4);
    CHECK((x.var(0) / network.running.var[l].clamp_min(1e-9) - 1).abs().max().item<double>() < 1e-2);
  }
}

TEST_CASE("re-estimated statistics are kept unless validation says that they are worse", "[training]") {
  const Splits data = split(small_dataset(300, 30), {}, at::kFloat);
  TrainingOptions options = small_options();
  options.patience.reset();
  options.min_delta = 0;
  options.seeds = {1, 2, 3, 4, 5, 6};
  options.learning_rate = {0.5};
  Network network(small_architecture(BatchNormPlace::before), 6, at::kFloat);
  Records records;
  const TrainingResult before = train(network, data, options, records);
  options.reestimate_batch_norm = true;
  const TrainingResult after = train(network, data, options, records);
  int kept = 0;
  for (std::size_t r = 0; r < 6; ++r) {
    CHECK(after.replicas[r].validation->loss <= before.replicas[r].validation->loss);
    if (after.replicas[r].reestimated) ++kept;
    if (!after.replicas[r].reestimated) {
      CHECK(after.replicas[r].test.loss == before.replicas[r].test.loss);
    }
  }
  CHECK(kept > 0);
}
