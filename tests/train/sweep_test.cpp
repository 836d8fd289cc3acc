// Checks how a sweep groups configurations, reads short runs off long ones, and measures convergence.
#include "handgrad/train/sweep.h"

#include <cmath>

#include "data/small_data.h"
#include "test.h"

namespace handgrad {

namespace {

Configuration configuration(double l2, std::int64_t epochs, std::int64_t batch_size = 8) {
  Configuration c;
  c.architecture = {30, {8, 6}, 3, false};
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
  std::vector<Configuration> list = {configuration(0, 10), configuration(0.1, 20), configuration(0, 20, 16),
                                     configuration(0.1, 10), configuration(0, 10)};
  list.push_back(configuration(0, 10));
  list.back().compat.no_shuffle = true;
  list.push_back(configuration(0, 10));
  list.back().architecture.batch_norm = true;
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
  CHECK(ensembles[2].settings.compat.no_shuffle);
  CHECK(ensembles[3].settings.architecture.batch_norm);
}

TEST_CASE("runs of different length are apart where no evaluation is due at the shorter one's end",
          "[sweep]") {
  std::vector<Configuration> list = {configuration(0, 10), configuration(0, 15)};
  for (Configuration& c : list) c.training.evaluate_every = {10, Interval::Unit::epochs};
  CHECK(group(list).size() == 2);
  for (Configuration& c : list) c.training.evaluate_every = {5, Interval::Unit::epochs};
  CHECK(group(list).size() == 1);
  for (Configuration& c : list) c.training.evaluate_every = {30, Interval::Unit::steps};
  CHECK(group(list).size() == 2);
  for (Configuration& c : list) c.compat.delta_stop = true;
  CHECK(group(list).size() == 1);
}

TEST_CASE("a run read off a longer one is the run by itself, bit for bit", "[sweep]") {
  const Dataset dataset = small_dataset(200, 40);
  Compat compat;
  compat.delta_stop = GENERATE(false, true);
  const bool stops_before = GENERATE(false, true);
  std::vector<Configuration> both = {configuration(0, 17), configuration(0.1, 17), configuration(0, 40),
                                     configuration(0.1, 40)};
  for (Configuration& c : both) {
    c.compat = compat;
    c.training.learning_rate = {0.6};  // rough: the best parameters are seldom the last
    c.training.patience = stops_before ? 6 : 1000;
    if (stops_before) c.training.min_delta = compat.delta_stop ? 1e30 : 0.3;
  }
  const std::vector<Configuration> only_short = {both[0], both[1]};
  const std::vector<Ensemble> ensembles = group(both);
  REQUIRE(ensembles.size() == 1);
  TrainingObserver nobody;
  const EnsembleRun long_run = train_ensemble(ensembles[0], dataset, {3}, at::kCPU, nobody);
  const EnsembleRun short_run = train_ensemble(group(only_short)[0], dataset, {3}, at::kCPU, nobody);
  for (std::size_t i = 0; i < 2; ++i) {
    CAPTURE(i, compat.delta_stop, stops_before);
    require_same(long_run.runs[i], short_run.runs[i]);
  }
  if (stops_before) return;
  CHECK(long_run.runs[2].result.steps > long_run.runs[0].result.steps);
  // The longer runs do not notice that the shorter ones were read off.
  const EnsembleRun undisturbed =
      train_ensemble(group({both[2], both[3]})[0], dataset, {3}, at::kCPU, nobody);
  for (std::size_t i = 0; i < 2; ++i) require_same(long_run.runs[i + 2], undisturbed.runs[i]);
  if (!compat.delta_stop) CHECK(long_run.runs[0].result.best_step < long_run.runs[0].result.steps);
}

TEST_CASE("a network that leaves the finite numbers is marked, and the others are as without it", "[sweep]") {
  const Dataset dataset = small_dataset(200, 40);
  std::vector<Configuration> list = {configuration(0, 5), configuration(0, 5)};
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
  std::vector<Configuration> list = {configuration(0, 3), configuration(0.5, 5), configuration(0.5, 5)};
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
