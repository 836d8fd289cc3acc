// Checks how a sweep groups configurations, reads short runs off long ones, and measures convergence.
#include "handgrad/train/sweep.h"

#include <cmath>
#include <map>

#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "test.h"

namespace handgrad {

namespace {

Settings configuration(double l2, std::int64_t epochs, std::int64_t batch_size = 8) {
  Settings c;
  c.shape.hidden = {8, 6};
  c.training.batch_size = batch_size;
  c.training.epochs = epochs;
  c.training.learning_rate = {0.05};
  c.training.l2 = {l2};
  return c;
}

void require_same(const Run& a, const Run& b) {
  CHECK(a.result.steps == b.result.steps);
  CHECK(a.result.best_step == b.result.best_step);
  CHECK(to_string(a.result.stopped) == to_string(b.result.stopped));
  CHECK(a.result.train.loss == b.result.train.loss);
  CHECK(a.result.validation->loss == b.result.validation->loss);
  CHECK(a.result.test.loss == b.result.test.loss);
  CHECK(a.result.test.accuracy == b.result.test.accuracy);
  CHECK(a.result.train_cost == b.result.train_cost);
  CHECK(*a.result.validation_cost == *b.result.validation_cost);
  CHECK(a.train_loss == b.train_loss);
  REQUIRE(a.evaluations.size() == b.evaluations.size());
  for (std::size_t i = 0; i < a.evaluations.size(); ++i) {
    CHECK(a.evaluations[i].step == b.evaluations[i].step);
    CHECK(a.evaluations[i].loss == b.evaluations[i].loss);
  }
}

}  // namespace

TEST_CASE("what differs in λ, rate and epochs alone trains side by side", "[sweep]") {
  std::vector<Settings> list = {configuration(0, 10), configuration(0.1, 20), configuration(0, 20, 16),
                                configuration(0.1, 10), configuration(0, 10)};
  list.push_back(configuration(0, 10));
  list.back().training.reshuffle = false;
  list.push_back(configuration(0, 10));
  list.back().shape.batch_norm = BatchNormPlace::after;
  list.push_back(configuration(0, 10));
  list.back().training.learning_rate = {0.01};
  const std::vector<Ensemble> ensembles = group(list);
  REQUIRE(ensembles.size() == 4);
  CHECK(ensembles[0].replicas() == 3);
  CHECK(ensembles[0].settings.training.l2 == std::vector<double>{0, 0.1, 0});
  CHECK(ensembles[0].settings.training.learning_rate == std::vector<double>{0.05, 0.05, 0.01});
  CHECK(ensembles[0].settings.training.epochs == 20);
  std::vector<std::size_t> members;
  std::vector<std::size_t> replicas;
  for (const Ensemble::Member& member : ensembles[0].members) {
    members.push_back(member.configuration);
    replicas.push_back(member.replica);
  }
  CHECK(members == std::vector<std::size_t>{0, 1, 3, 4, 7});
  CHECK(replicas == std::vector<std::size_t>{0, 1, 1, 0, 2});
  CHECK(ensembles[1].members.front().configuration == 2);
  CHECK_FALSE(ensembles[2].settings.training.reshuffle);
  CHECK(ensembles[3].settings.shape.batch_norm == BatchNormPlace::after);
}

TEST_CASE("every setting splits an ensemble or has a value for each network of it", "[sweep]") {
  // Another value of each; a setting that is missing here fails the test.
  // clang-format off
  const std::map<std::string, std::string> other = {
      {"data", "elsewhere"},
      {"classes", "7"},
      {"image_size", "20x30"},
      {"test_fraction", "0.3"},
      {"skip_unreadable", "true"},
      {"split", "pooled"},
      {"validation_fraction", "0.3"},
      {"deskew", "true"},
      {"standardise", "true"},
      {"hidden", "8,7"},
      {"batch_norm", "true"},
      {"activation", "tanh"},
      {"l2", "0.5"},
      {"replicas", "2"},
      {"seed", "9"},
      {"compat", "no-shuffle"},
      {"batch_size", "9"},
      {"epochs", "7"},
      {"learning_rate", "0.5"},
      {"optimizer", "adamw"},
      {"momentum", "0.8"},
      {"beta1", "0.8"},
      {"beta2", "0.9"},
      {"adam_eps", "1e-06"},
      {"weight_decay", "0.1"},
      {"data_seed", "9"},
      {"evaluate_every", "2ep"},
      {"patience", "none"},
      {"min_delta", "0.1"},
      {"device", "cpu"},
      {"tf32", "true"},
      {"threads", "3"},
      {"schedule", "cosine"},
      {"warmup", "5"},
      {"final_rate", "0.5"},
      {"monitor", "accuracy"},
      {"weight_decay_form", "coupled"},
      {"weight_decay_on", "weights"},
      {"dropout", "0.5"},
      {"input_dropout", "0.2"},
      {"label_smoothing", "0.1"},
      {"clip", "2.5"},
      {"shards", "2"},
      {"batch_norm_statistics", "shard"},
      {"ema", "0.9"},
      {"reestimate_batch_norm", "true"},
      {"augment", "light"},
      {"rotation", "3"},
      {"scale", "0.3"},
      {"shear", "0.3"},
      {"shift", "3"},
      {"elastic", "3"},
      {"augment_final", "0.5"},
  };
  // clang-format on
  CHECK(settings_table().size() == other.size());
  for (const Setting& setting : settings_table()) {
    CAPTURE(setting.name);
    const Settings before = configuration(0, 6);
    Settings after = before;
    REQUIRE(setting.read(after, other.at(setting.name)));
    REQUIRE(setting.text(after) == other.at(setting.name));
    REQUIRE(setting.text(before) != setting.text(after));
    const std::vector<Ensemble> ensembles = group({before, after});
    switch (setting.role) {
      case Setting::Role::decides:
      case Setting::Role::rounding:
        CHECK(ensembles.size() == 2);
        break;
      case Setting::Role::per_network:
        REQUIRE(ensembles.size() == 1);
        CHECK(ensembles[0].replicas() == 2);
        CHECK(ensembles[0].members[1].replica == 1);
        break;
      case Setting::Role::length:
        REQUIRE(ensembles.size() == 1);
        CHECK(ensembles[0].members[0].epochs != ensembles[0].members[1].epochs);
        break;
      case Setting::Role::of_run:
      case Setting::Role::machine:
        CHECK(ensembles.size() == 1);
        break;
    }
  }
}

TEST_CASE("a setting decides about what is learned unless it is one of these", "[sweep]") {
  using Role = Setting::Role;
  const std::map<std::string, Role> others = {{"l2", Role::per_network},
                                              {"learning_rate", Role::per_network},
                                              {"epochs", Role::length},
                                              {"classes", Role::of_run},
                                              {"replicas", Role::of_run},
                                              {"seed", Role::of_run},
                                              {"data_seed", Role::of_run},
                                              {"tf32", Role::rounding},
                                              {"data", Role::machine},
                                              {"device", Role::machine},
                                              {"threads", Role::machine},
                                              {"image_size", Role::of_run},
                                              {"skip_unreadable", Role::machine},
                                              {"test_fraction", Role::of_run}};
  for (const Setting& setting : settings_table()) {
    CAPTURE(setting.name);
    const auto found = others.find(setting.name);
    CHECK((setting.role == (found == others.end() ? Role::decides : found->second)));
  }
}

TEST_CASE("what the table allows, the library allows, and nothing else", "[sweep]") {
  const Settings defaults;
  for (const Setting& setting : settings_table()) {
    CAPTURE(setting.name, setting.text(defaults));
    CHECK(setting.is_allowed(defaults));
    Settings copy;
    CHECK(setting.read(copy, setting.text(defaults)));
    CHECK(setting.text(copy) == setting.text(defaults));
    if (setting.allowed != "text") CHECK_FALSE(setting.read(copy, "nonsense"));
    CHECK(setting.text(copy) == setting.text(defaults));
  }
  const auto refusal = [](const TrainingOptions& options) -> std::string {
    try {
      validate(options, {30, {8}, 3, BatchNormPlace::none}, 1);
      return "";
    } catch (const ArgumentError& error) {
      return error.what();
    }
  };
  TrainingOptions options;
  CHECK(refusal(options).empty());
  options.optimizer.momentum = 1;
  CHECK(refusal(options) == "momentum: got 1; must be a number of at least 0 and below 1");
  options = {};
  options.optimizer.eps = 5;
  CHECK(refusal(options) == "adam_eps: got 5; must be a number above 0 and at most 1");
  options = {};
  options.min_delta = std::nan("");
  CHECK(refusal(options) == "min_delta: got nan; must be a number from 0 to 1e+38");
  options = {};
  options.patience = 0;
  CHECK_THAT(refusal(options), Catch::Contains("patience: got 0; must be none, or a whole number from 1 to"));
}

TEST_CASE("runs of different length are apart where no evaluation is due at the shorter one's end",
          "[sweep]") {
  std::vector<Settings> list = {configuration(0, 10), configuration(0, 15)};
  for (Settings& c : list) c.training.evaluate_every = {10, Interval::Unit::epochs};
  CHECK(group(list).size() == 2);
  for (Settings& c : list) c.training.evaluate_every = {5, Interval::Unit::epochs};
  CHECK(group(list).size() == 1);
  for (Settings& c : list) c.training.evaluate_every = {30, Interval::Unit::steps};
  CHECK(group(list).size() == 2);
  for (Settings& c : list) c.training.stopping = TrainingOptions::Stopping::no_change;
  CHECK(group(list).size() == 1);
}

TEST_CASE("a run read off a longer one is the run by itself, bit for bit", "[sweep]") {
  const Dataset dataset = small_dataset(200, 40);
  using Stopping = TrainingOptions::Stopping;
  const Stopping stopping = GENERATE(Stopping::patience, Stopping::no_change);
  const bool stops_before = GENERATE(false, true);
  std::vector<Settings> both = {configuration(0, 17), configuration(0.1, 17), configuration(0, 40),
                                configuration(0.1, 40)};
  for (Settings& c : both) {
    c.training.stopping = stopping;
    c.training.learning_rate = {0.6};  // rough: the best parameters are seldom the last
    c.training.patience = stops_before ? 6 : 1000;
    if (stops_before) c.training.min_delta = stopping == Stopping::no_change ? 1e30 : 0.3;
  }
  const std::vector<Settings> only_short = {both[0], both[1]};
  const std::vector<Ensemble> ensembles = group(both);
  REQUIRE(ensembles.size() == 1);
  TrainingObserver nobody;
  const EnsembleRun long_run = train_ensemble(ensembles[0], dataset, {3}, at::kCPU, nobody);
  const EnsembleRun short_run = train_ensemble(group(only_short)[0], dataset, {3}, at::kCPU, nobody);
  for (std::size_t i = 0; i < 2; ++i) {
    CAPTURE(i, stopping == Stopping::no_change, stops_before);
    require_same(long_run.runs[i], short_run.runs[i]);
  }
  if (stops_before) return;
  CHECK(long_run.runs[2].result.steps > long_run.runs[0].result.steps);
  // The longer runs do not notice that the shorter ones were read off.
  const EnsembleRun undisturbed =
      train_ensemble(group({both[2], both[3]})[0], dataset, {3}, at::kCPU, nobody);
  for (std::size_t i = 0; i < 2; ++i) require_same(long_run.runs[i + 2], undisturbed.runs[i]);
  if (stopping == Stopping::patience)
    CHECK(long_run.runs[0].result.best_step < long_run.runs[0].result.steps);
}

TEST_CASE("a network that leaves the finite numbers is marked, and the others are as without it", "[sweep]") {
  const Dataset dataset = small_dataset(200, 40);
  std::vector<Settings> list = {configuration(0, 5), configuration(0, 5)};
  list[1].training.learning_rate = {1e30};
  TrainingObserver nobody;
  const EnsembleRun with = train_ensemble(group(list)[0], dataset, {3}, at::kCPU, nobody);
  list[1].training.learning_rate = {0.001};
  const EnsembleRun without = train_ensemble(group(list)[0], dataset, {3}, at::kCPU, nobody);
  require_same(with.runs[0], without.runs[0]);
  CHECK(with.runs[1].result.stopped == StopReason::non_finite);
  CHECK_THAT(with.runs[1].result.fault, Catch::Contains("no longer finite"));
}

TEST_CASE("seeds that train side by side come to what each comes to alone", "[sweep]") {
  const Dataset dataset = small_dataset(200, 40);
  std::vector<Settings> list = {configuration(0, 3), configuration(0.5, 5), configuration(0.5, 5)};
  list[2].training.learning_rate = {0.02};
  const Ensemble ensemble = group(list)[0];
  REQUIRE(ensemble.replicas() == 2 + 1);
  TrainingObserver nobody;
  const std::vector<std::uint64_t> seeds = {7, 3};
  const EnsembleRun together = train_ensemble(ensemble, dataset, seeds, at::kCPU, nobody);
  REQUIRE(together.runs.size() == 6);
  CHECK(together.network->replicas() == 6);
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    const EnsembleRun alone = train_ensemble(ensemble, dataset, {seeds[s]}, at::kCPU, nobody);
    for (std::size_t m = 0; m < 3; ++m) {
      CAPTURE(s, m);
      const Run& a = together.runs[3 * s + m];
      const Run& b = alone.runs[m];
      CHECK(a.seed == seeds[s]);
      CHECK(a.configuration == b.configuration);
      CHECK(a.result.steps == b.result.steps);
      CHECK(a.result.best_step == b.result.best_step);
      // In float32, where products of another shape round otherwise.
      const auto close = [](double value) { return Approx(value).epsilon(1e-4); };
      CHECK(a.result.train.loss == close(b.result.train.loss));
      CHECK(a.result.validation->loss == close(b.result.validation->loss));
      CHECK(a.result.test.loss == close(b.result.test.loss));
      CHECK(a.result.l2_penalty == close(b.result.l2_penalty));
      REQUIRE(a.evaluations.size() == b.evaluations.size());
      for (std::size_t i = 0; i < a.evaluations.size(); ++i) {
        CHECK(a.evaluations[i].loss == close(b.evaluations[i].loss));
      }
    }
  }
}

TEST_CASE("steps to a loss", "[sweep]") {
  const std::vector<Run::Evaluation> evaluations = {{100, 1.0}, {200, 0.5}, {300, 0.6}, {400, 0.1}};
  CHECK(steps_to_loss(evaluations, 2) == 100);
  CHECK(steps_to_loss(evaluations, 0.75) == Approx(150));
  CHECK(steps_to_loss(evaluations, 0.5) == Approx(200));
  CHECK(steps_to_loss(evaluations, 0.35) == Approx(350));
  CHECK(std::isnan(steps_to_loss(evaluations, 0.01)));
  CHECK(std::isnan(steps_to_loss({}, 1)));
  CHECK(std::isnan(steps_to_loss({{100, NAN}}, 1)));
}

TEST_CASE("roughness is the deviation of successive differences", "[sweep]") {
  CHECK(roughness({3, 2, 1, 0}) == Approx(0));
  CHECK(roughness({0, 1, 0, 1}) == Approx(std::sqrt(4.0 / 3)));
  CHECK(std::isnan(roughness({1, 2})));
}

}  // namespace handgrad
