// Ensembles of configurations.
#include "handgrad/train/sweep.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "handgrad/base/statistics.h"
#include "handgrad/data/batches.h"

namespace handgrad {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void extend(std::vector<double>& values, const std::vector<double>& more) {
  values.insert(values.end(), more.begin(), more.end());
}

// Whether a training that goes on can report what it would have been if it had ended after so many epochs.
bool can_be_read_off(const Settings& c) {
  const Interval& interval = c.training.evaluate_every;
  if (c.training.epochs == 0) return false;
  if (c.training.schedule.has_end()) return false;
  return c.training.stopping == TrainingOptions::Stopping::no_change ||
         (interval.unit == Interval::Unit::epochs && c.training.epochs % interval.count == 0);
}

// All that the members of an ensemble must share, in words.
std::string shared(const Settings& settings) {
  std::string text;
  for (const Setting& setting : settings_table()) {
    switch (setting.role) {
      case Setting::Role::decides:
      case Setting::Role::rounding:
        text += setting.text(settings) + '\n';
        break;
      case Setting::Role::per_network:
      case Setting::Role::length:
      case Setting::Role::of_run:
      case Setting::Role::machine:
        break;
    }
  }
  return text;
}

// Whether configurations that share all that they must can train as long as each other.
bool go_together(const Settings& a, const Settings& b) {
  return a.training.epochs == b.training.epochs || (can_be_read_off(a) && can_be_read_off(b));
}

// Keeps what the reports need of each network.
class Curves : public TrainingObserver {
 public:
  void on_train(const TrainRecord& record) override {
    if (record.step % steps_per_record == 0) train_.push_back(record.loss);
  }
  void on_evaluation(const EvaluationRecord& record) override { evaluations_.push_back(record); }

  // Of a network that stopped after so many steps.
  void copy(Run& run, std::size_t replica) const {
    for (std::size_t i = 0; i < train_.size(); ++i) {
      if (static_cast<std::int64_t>(i + 1) * steps_per_record > run.result.steps) break;
      run.train_loss.push_back(train_[i][replica]);
    }
    for (const EvaluationRecord& record : evaluations_) {
      if (record.step > run.result.steps) break;
      run.evaluations.push_back({record.step, record.validation[replica].loss});
    }
  }

 private:
  std::vector<std::vector<double>> train_;  // [record][network]
  std::vector<EvaluationRecord> evaluations_;
};

}  // namespace

std::vector<Ensemble> group(const std::vector<Settings>& configurations) {
  std::vector<Ensemble> ensembles;
  std::vector<std::string> shared_by;  // the members of each
  for (std::size_t c = 0; c < configurations.size(); ++c) {
    const Settings& configuration = configurations[c];
    const std::string words = shared(configuration);
    const double l2 = configuration.training.l2.front();
    const double rate = configuration.training.learning_rate.front();
    std::size_t e = 0;
    while (e < ensembles.size() &&
           (shared_by[e] != words || !go_together(configuration, ensembles[e].settings))) {
      ++e;
    }
    if (e == ensembles.size()) {
      ensembles.push_back({configuration, {}});
      shared_by.push_back(words);
    }
    Ensemble& ensemble = ensembles[e];
    TrainingOptions& training = ensemble.settings.training;
    training.epochs = std::max(training.epochs, configuration.training.epochs);
    std::size_t replica = 0;
    while (replica < training.l2.size() &&
           (training.l2[replica] != l2 || training.learning_rate[replica] != rate)) {
      ++replica;
    }
    if (replica == training.l2.size()) {
      training.l2.push_back(l2);
      training.learning_rate.push_back(rate);
    }
    ensemble.members.push_back({c, replica, configuration.training.epochs});
  }
  for (Ensemble& ensemble : ensembles) {
    TrainingOptions& training = ensemble.settings.training;
    for (const Ensemble::Member& member : ensemble.members) {
      if (member.epochs < training.epochs) training.report_epochs.push_back(member.epochs);
    }
  }
  return ensembles;
}

EnsembleRun train_ensemble(const Ensemble& ensemble, const Dataset& dataset,
                           const std::vector<std::uint64_t>& seeds, at::Device device,
                           TrainingObserver& observer) {
  const Settings& settings = ensemble.settings;
  const auto per_seed = static_cast<std::size_t>(ensemble.replicas());
  const Splits splits = split(dataset, settings.split, seeds, at::TensorOptions(device).dtype(at::kFloat));
  TrainingOptions training = settings.training;
  training.seeds.clear();
  training.l2.clear();
  training.learning_rate.clear();
  training.data_seeds = seeds;
  for (const std::uint64_t seed : seeds) {
    training.seeds.insert(training.seeds.end(), per_seed, seed);
    extend(training.l2, settings.training.l2);
    extend(training.learning_rate, settings.training.learning_rate);
  }

  EnsembleRun run;
  run.network = std::make_unique<Network>(settings.architecture(dataset),
                                          static_cast<std::int64_t>(training.seeds.size()),
                                          splits.train.targets.options(), settings.network);
  Curves curves;
  ObserverList observers{&curves, &observer};
  const TrainingResult result = train(*run.network, splits, training, observers);
  run.steps_per_epoch = batches_per_epoch(splits.train.count(), training.batch_size);
  run.microseconds_per_step = result.microseconds_per_step;
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    for (const Ensemble::Member& member : ensemble.members) {
      const std::size_t replica = s * per_seed + member.replica;
      // Training that ended before the epoch to report ended for this member too.
      const auto early = result.at_epoch.find(member.epochs);
      const bool is_early = member.epochs < training.epochs && early != result.at_epoch.end();
      Run of_member;
      of_member.configuration = member.configuration;
      of_member.seed = seeds[s];
      of_member.result = (is_early ? early->second : result.replicas)[replica];
      curves.copy(of_member, replica);
      run.runs.push_back(std::move(of_member));
    }
  }
  return run;
}

double steps_to_loss(const std::vector<Run::Evaluation>& evaluations, double loss) {
  for (std::size_t i = 0; i < evaluations.size(); ++i) {
    const Run::Evaluation& here = evaluations[i];
    if (!(here.loss <= loss)) continue;
    if (i == 0) return static_cast<double>(here.step);
    const Run::Evaluation& before = evaluations[i - 1];
    const double share = (before.loss - loss) / (before.loss - here.loss);
    return static_cast<double>(before.step) + share * static_cast<double>(here.step - before.step);
  }
  return nan;
}

double roughness(const std::vector<double>& losses) {
  std::vector<double> differences;
  for (std::size_t i = 1; i < losses.size(); ++i) differences.push_back(losses[i] - losses[i - 1]);
  return estimate(differences).standard_deviation;
}

}  // namespace handgrad
