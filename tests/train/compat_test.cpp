// Checks each fault that --compat switches on: what it changes, and that it changes nothing else.
#include "handgrad/train/compat.h"

#include <algorithm>
#include <cmath>

#include "data/small_data.h"
#include "handgrad/data/batches.h"
#include "handgrad/train/settings.h"
#include "handgrad/train/trainer.h"
#include "test.h"

namespace handgrad {

namespace {

Architecture small_network(BatchNormPlace batch_norm) {
  return {30, {8, 6}, 3, batch_norm};
}

TrainingOptions short_training() {
  TrainingOptions options;
  options.batch_size = 8;
  options.epochs = 40;
  options.learning_rate = {0.05};
  options.l2 = {0.1};
  return options;
}

TrainingResult train_small(Network& network, const TrainingOptions& options, bool twice = false) {
  TrainingObserver nobody;
  return train(network,
               split(small_dataset(100, 20), {SplitOptions::Kind::official, 0.2, 1, twice}, at::kDouble),
               options, nobody);
}

Settings notebook(const std::string& list) {
  return with_compat(Settings(), list).value();
}

}  // namespace

TEST_CASE("a list of --compat switches on what it names, and nothing else", "[training]") {
  for (const CompatSwitch& fault : compat_switches()) {
    CAPTURE(fault.name);
    const Settings on = notebook(fault.name);
    CHECK(compat_list(on) == fault.name);
    CHECK(compat_list(with_compat(on, "none").value()) == "none");
  }
  CHECK(compat_list(notebook("prob-loss,no-shuffle")) == "no-shuffle,prob-loss");
  CHECK(compat_list(notebook("notebook")) == "notebook");
  CHECK_FALSE(with_compat(Settings(), "no-shuffle,").has_value());
  CHECK_FALSE(with_compat(Settings(), "notebook,no-shuffle").has_value());
}

TEST_CASE("fan-out-init draws with the variance 2 / fan_out", "[training]") {
  Network network({784, {200}, 10, BatchNormPlace::none}, 1, at::kDouble, notebook("fan-out-init").network);
  network.initialise({5});
  CHECK(network.parameters.weight[0].var().item<double>() == Approx(2.0 / 200).epsilon(0.02));
  CHECK(network.parameters.weight[1].var().item<double>() == Approx(2.0 / 10).epsilon(0.1));
}

TEST_CASE("no-shuffle repeats the batches of the first epoch", "[training]") {
  const Splits splits = split(small_dataset(100, 20), {}, at::kDouble);
  const bool reshuffle = GENERATE(true, false);
  Batches batches(splits.train, 1, 8, {5}, reshuffle, false);
  const Tensor first = batches.at(0).images.clone();
  const Tensor second = batches.at(1).images.clone();
  CHECK(at::equal(batches.at(batches.per_epoch()).images, first) != reshuffle);
  CHECK(at::equal(batches.at(batches.per_epoch() + 1).images, second) != reshuffle);
}

TEST_CASE("split-twice trains on less, watches the rest and measures both", "[training]") {
  const Dataset dataset = small_dataset(100, 20);
  const Splits once = split(dataset, {}, at::kDouble);
  const Splits twice = split(dataset, {SplitOptions::Kind::official, 0.2, 1, true}, at::kDouble);
  CHECK(once.train.count() == 80);
  CHECK(at::equal(once.watched.pixels, once.validation.pixels));
  CHECK(at::equal(once.measured.pixels, once.train.pixels));
  CHECK(twice.train.count() == 64);
  CHECK(twice.watched.count() == 16);
  CHECK(at::equal(at::cat({twice.train.pixels, twice.watched.pixels}), once.train.pixels));
  CHECK(at::equal(twice.measured.pixels, once.train.pixels));
  CHECK(at::equal(twice.measured.targets, once.train.targets));
  CHECK(at::equal(twice.validation.pixels, once.validation.pixels));
}

TEST_CASE("bn-batch-stats evaluates with the statistics of the evaluated set", "[training]") {
  Network network(small_network(BatchNormPlace::after), 2, at::kDouble, notebook("bn-batch-stats").network);
  network.initialise({1, 2});
  network.running.flat.fill_(7);  // must not be used
  const Splits splits = split(small_dataset(100, 1203), {}, at::kDouble);
  const std::vector<LossAndAccuracy> results = evaluate(network, splits.test);
  for (std::int64_t r = 0; r < 2; ++r) {
    Tensor x = splits.test.pixels.to(at::kDouble) / 255;
    for (std::size_t l = 0; l < 3; ++l) {
      x = at::linear(x, network.parameters.weight[l][r], network.parameters.bias[l][r]);
      if (l == 2) break;
      x = x.relu();
      x = (x - x.mean(0)) / (x.var(0, false) + 1e-8).sqrt();
    }
    const Tensor labels = splits.test.targets.argmax(1);
    CHECK(results[static_cast<std::size_t>(r)].loss ==
          Approx(at::nll_loss(x.log_softmax(1), labels).item<double>()));
    CHECK(results[static_cast<std::size_t>(r)].accuracy ==
          Approx(x.argmax(1).eq(labels).to(at::kDouble).mean().item<double>()));
  }
  CHECK(at::equal(network.running.flat, at::full_like(network.running.flat, 7)));
}

TEST_CASE("delta-stop ends training by two costs, 100 steps apart, and keeps the last parameters",
          "[training]") {
  TrainingOptions options = short_training();
  options.stopping = notebook("delta-stop").training.stopping;
  Network network(small_network(BatchNormPlace::none), 1, at::kDouble);
  SECTION("at once where any two costs are close enough") {
    options.min_delta = 1e30;
    const TrainingResult result = train_small(network, options);
    CHECK(result.stopped == StopReason::early_stopping);
    CHECK(result.steps == 200);
    CHECK(result.replicas[0].best_step == 200);
  }
  SECTION("never where none is, even when the loss rises") {
    options.min_delta = 0;
    options.learning_rate = {2.0};
    const TrainingResult result = train_small(network, options);
    CHECK(result.stopped == StopReason::max_epochs);
    CHECK(result.replicas[0].best_step == 400);
  }
  SECTION("where the cost first comes that close to the one before it, falling or rising") {
    class Losses : public TrainingObserver {
     public:
      void on_evaluation(const EvaluationRecord& record) override {
        losses.push_back(record.validation[0].loss);
      }
      std::vector<double> losses;
    };
    options.epochs = 200;
    options.min_delta = 0;
    options.learning_rate = {1.5};
    const Splits splits = split(small_dataset(100, 20), {}, at::kDouble);
    Losses all;
    train(network, splits, options, all);
    // Where training would stop if costs were compared with the one before, or with the least so far.
    const auto stop_at = [&](double min_delta, bool with_least) {
      double compared = all.losses[0];
      for (std::size_t i = 1; i < all.losses.size(); ++i) {
        if (std::abs(all.losses[i] - compared) < min_delta) return i;
        compared = with_least ? std::min(compared, all.losses[i]) : all.losses[i];
      }
      return all.losses.size();
    };
    std::size_t expected = 0;
    for (std::size_t i = 1; i < all.losses.size() && expected == 0; ++i) {
      options.min_delta = std::abs(all.losses[i] - all.losses[i - 1]) * 1.0001;
      const std::size_t stop = stop_at(options.min_delta, false);
      if (stop != stop_at(options.min_delta, true)) expected = stop;
    }
    REQUIRE(expected > 0);
    Losses again;
    const TrainingResult result = train(network, splits, options, again);
    CHECK(result.steps == static_cast<std::int64_t>(expected + 1) * 100);
  }
  SECTION("each network of an ensemble for itself, with the parameters of its own last step") {
    options.learning_rate = {0.05, 1e-12};  // the second hardly moves: its costs are alike at once
    options.seeds = {1, 1};
    Network pair(small_network(BatchNormPlace::none), 2, at::kDouble);
    const TrainingResult result = train_small(pair, options);
    CHECK(result.replicas[0].stopped == StopReason::max_epochs);
    CHECK(result.replicas[1].stopped == StopReason::early_stopping);
    CHECK(result.replicas[1].steps == 200);
    CHECK(result.replicas[1].best_step == 200);
    CHECK(result.steps == 400);
  }
}

TEST_CASE("set-size-penalty divides the penalty in a validation cost by the size of the set", "[training]") {
  TrainingOptions options = short_training();
  options.watch_penalty = notebook(GENERATE("none", "set-size-penalty")).training.watch_penalty;
  Network network(small_network(BatchNormPlace::none), 1, at::kDouble);
  const TrainingResult result = train_small(network, options);
  const ReplicaResult& replica = result.replicas[0];
  const double divisor = options.watch_penalty ? 20 : 8;
  CHECK(replica.l2_penalty > 1e-3);
  CHECK(*replica.validation_cost == Approx(replica.validation->loss + replica.l2_penalty * 8 / divisor));
}

TEST_CASE("set-size-penalty lets the penalty decide when training stops", "[training]") {
  // The weights shrink by 1 % an epoch: the penalty falls much faster than the loss.
  TrainingOptions options = short_training();
  options.learning_rate = {1e-4};
  options.l2 = {100};
  options.min_delta = 0.3;
  options.patience = 2;
  Network data_loss(small_network(BatchNormPlace::none), 1, at::kDouble);
  CHECK(train_small(data_loss, options).steps == 30);
  options.watch_penalty = true;
  Network with_penalty(small_network(BatchNormPlace::none), 1, at::kDouble);
  options.epochs = 400;
  const TrainingResult result = train_small(with_penalty, options);
  CHECK(result.steps > 60);
  CHECK(result.stopped == StopReason::early_stopping);
}

TEST_CASE("split-twice watches what was split off last", "[training]") {
  class LastEvaluation : public TrainingObserver {
   public:
    void on_evaluation(const EvaluationRecord& record) override { loss = record.validation[0].loss; }
    double loss = 0;
  };
  const Splits splits =
      split(small_dataset(100, 20), {SplitOptions::Kind::official, 0.2, 1, true}, at::kDouble);
  Network network(small_network(BatchNormPlace::none), 1, at::kDouble);
  TrainingOptions options = short_training();
  options.epochs = 1;
  LastEvaluation last;
  const TrainingResult result = train(network, splits, options, last);
  CHECK(last.loss == Approx(evaluate(network, splits.watched)[0].loss));
  CHECK(last.loss != Approx(evaluate(network, splits.validation)[0].loss));
  CHECK(result.replicas[0].train.loss == Approx(evaluate(network, splits.measured)[0].loss));
}

TEST_CASE("prob-loss bounds the loss, and leaves the gradient as it is", "[training]") {
  const Splits splits = split(small_dataset(100, 20), {}, at::kDouble);
  Network clamped(small_network(BatchNormPlace::none), 1, at::kDouble, notebook("prob-loss").network);
  Network exact(small_network(BatchNormPlace::none), 1, at::kDouble);
  Tensor loss = at::empty({1}, at::kDouble);
  Tensor exact_loss = at::empty({1}, at::kDouble);
  Batches batches(splits.train, 1, 8, {1}, true, false);
  const auto pass = [&](Network& network, double factor, Tensor& of_batch) {
    network.initialise({1});
    network.parameters.weights.mul_(factor);
    Workspace workspace(network, 8, Use::training);
    network.forward_backward(workspace, batches.at(0).images, batches.at(0).targets,
                             L2({0}, network.parameters), &of_batch);
  };
  pass(clamped, 1, loss);
  pass(exact, 1, exact_loss);
  CHECK(loss.item<double>() == Approx(exact_loss.item<double>()));
  CHECK(at::equal(clamped.gradients.flat, exact.gradients.flat));
  pass(clamped, 100, loss);
  pass(exact, 100, exact_loss);
  CHECK(exact_loss.item<double>() > 100);
  CHECK(loss.item<double>() <= -std::log(1e-15) + 1e-9);
  CHECK(loss.item<double>() > 1);
}

TEST_CASE("all switches together train", "[training]") {
  const Settings all = notebook("notebook");
  Network network(small_network(BatchNormPlace::after), 2, at::kDouble, all.network);
  TrainingOptions options = short_training();
  options.reshuffle = all.training.reshuffle;
  options.stopping = all.training.stopping;
  options.watch_penalty = all.training.watch_penalty;
  options.seeds = {1, 2};
  const TrainingResult result = train_small(network, options, all.split.twice);
  CHECK(result.steps > 0);
  for (const ReplicaResult& replica : result.replicas) {
    CHECK(std::isfinite(*replica.validation_cost));
    CHECK(std::isfinite(replica.train_cost));
  }
}

}  // namespace handgrad
