// Training: steps, and after them what is due.
#include "handgrad/train/trainer.h"

#include <fmt/format.h>

#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/train/averaged_networks.h"
#include "handgrad/train/best_networks.h"
#include "handgrad/train/early_stopping.h"
#include "handgrad/train/fault_finder.h"
#include "handgrad/train/measurements.h"
#include "handgrad/train/population_statistics.h"
#include "handgrad/train/snapshot.h"
#include "handgrad/train/stepper.h"
#include "handgrad/train/timetable.h"
#include "handgrad/train/training_clock.h"

namespace handgrad {

namespace {

class Training {
 public:
  Training(Network& network, const Splits& data, const TrainingOptions& options, TrainingObserver& observer)
      : network_(network),
        data_(data),
        options_(options),
        observer_(observer),
        stream_(network.options().device()),
        stepper_(network, data.train, options),
        timetable_(options, stepper_.steps_per_epoch()),
        measurements_(network, data, options, stepper_.l2(), observer),
        stopping_(options, options.seeds.size()),
        best_(network, options.ema > 0),
        outcomes_(options.seeds.size()),
        loss_(at::zeros({network.replicas()}, network.options())),
        clock_(network.options().device()) {}

  TrainingResult run(const TrainingState* from) {
    if (from == nullptr) begin();
    finite_.emplace(network_, stepper_.optimizer());
    if (options_.ema > 0) average_.emplace(network_, options_.ema);
    if (from != nullptr) restore(*from);
    TrainingResult result;
    clock_.start();
    while (!finished()) {
      advance();
      observer_.on_step(step_, timetable_.total());
      const Request request = observer_.requested(step_, timetable_.epoch_ended(step_));
      interrupted_ = request == Request::stop;
      const bool evaluate = timetable_.evaluation_due(step_);
      const bool report = timetable_.report_due(step_) && step_ < timetable_.total();
      const bool checkpoint = request != Request::none;
      if (!evaluate && !report && !checkpoint) continue;
      clock_.stop();
      if (evaluate) evaluate_watched();
      if (report) result.at_epoch[timetable_.epoch(step_)] = report_so_far();
      if (checkpoint) hand_over();
      clock_.start();
    }
    clock_.stop();
    if (handed_over_ != step_) hand_over();
    look_at_the_last_update();
    finish(result);
    return result;
  }

 private:
  void begin() {
    if (options_.initialise) {
      network_.initialise(options_.seeds);
    } else if (const Standardisation& images = data_.train.standardisation; images.defined()) {
      network_.substitute_input(images.deviation, images.mean);
    }
  }

  bool finished() const { return step_ == timetable_.total() || !outcomes_.any_trains() || interrupted_; }
  // The parameters, instead of the best.
  bool keeps_last() const { return options_.stopping == TrainingOptions::Stopping::no_change; }

  void advance() {
    take_step();
    if (average_) average_->update();
  }

  void take_step() {
    if (!timetable_.record_due(step_ + 1)) {
      if (gradients_wanted()) {
        stepper_.differentiate(step_);
        show_gradients();
        stepper_.update();
      } else {
        stepper_.advance(step_);
      }
      outcomes_.count_steps(++step_);
      return;
    }
    record_step();
    finite_->take(network_, stepper_.optimizer(), step_);
  }

  // Of the step that is being taken.
  bool gradients_wanted() {
    return measurements_.has_watched() && timetable_.evaluation_due(step_ + 1) && observer_.wants_gradients();
  }

  void show_gradients() {
    clock_.stop();
    observer_.on_gradients(step_ + 1, network_.gradients);
    clock_.start();
  }

  // A step whose loss is looked at, with all that is not finite in it.
  void record_step() {
    stepper_.differentiate(step_, &loss_);
    if (gradients_wanted()) show_gradients();
    const Tensor penalty = network_.l2_penalty(stepper_.l2(), options_.batch_size);
    stepper_.update();
    outcomes_.count_steps(++step_);
    // Both at once: each copy from a GPU waits for it.
    const Tensor costs = at::stack({loss_.to(at::kDouble), penalty.to(at::kDouble)}).to(at::kCPU);
    TrainRecord record;
    record.step = step_;
    record.epoch = timetable_.epoch(step_);
    record.loss = to_vector(costs[0]);
    record.l2_penalty = to_vector(costs[1]);
    record.learning_rate = stepper_.learning_rate(step_ - 1);
    outcomes_.record_cost(record.loss, record.l2_penalty);
    observer_.on_train(record);
    stop_non_finite(record.loss);
  }

  void stop_non_finite(const std::vector<double>& losses) {
    const std::vector<std::size_t> failed = outcomes_.non_finite(losses);
    if (failed.empty()) return;
    for (const auto& [replica, fault] : find_faults(network_, stepper_, *finite_, step_, failed)) {
      outcomes_.fail(replica, fault);
    }
  }

  void evaluate_watched() {
    if (!measurements_.has_watched()) return;
    const Watched now = watch();
    const Watched average = watch_average();
    observer_.on_evaluation({step_, timetable_.epoch(step_), now.metrics, average.metrics});
    stop_non_finite(now.losses);
    using Verdict = EarlyStopping::Verdict;
    std::vector<std::int64_t> to_keep;
    std::vector<std::int64_t> averages_to_keep;
    for (std::size_t r = 0; r < now.losses.size(); ++r) {
      if (!outcomes_.trains(r)) continue;
      const bool averaged = average_ && !keeps_last() && average.score(r, options_) < now.score(r, options_);
      const Watched& better = averaged ? average : now;
      const Verdict verdict = stopping_.judge(r, better.losses[r], better.metrics[r].accuracy);
      if (verdict == Verdict::improved || verdict == Verdict::stopped_here) {
        (averaged ? averages_to_keep : to_keep).push_back(static_cast<std::int64_t>(r));
      }
      if (verdict == Verdict::stopped || verdict == Verdict::stopped_here) outcomes_.stop(r);
    }
    best_.keep(network_, to_keep, step_);
    keep_averages(averages_to_keep);
  }

  void keep_averages(const std::vector<std::int64_t>& replicas) {
    if (replicas.empty()) return;
    average_->exchange(network_);
    best_.keep(network_, replicas, step_, true);
    average_->exchange(network_);
  }

  std::vector<std::int64_t> trained_to_the_end() const {
    std::vector<std::int64_t> replicas;
    for (std::size_t r = 0; r < outcomes_.replicas(); ++r) {
      if (outcomes_.trains(r)) replicas.push_back(static_cast<std::int64_t>(r));
    }
    return replicas;
  }

  // What the watched set says of the networks.
  struct Watched {
    std::vector<LossAndAccuracy> metrics;
    std::vector<double> losses;

    double score(std::size_t replica, const TrainingOptions& options) const {
      return handgrad::score(options.monitor, losses[replica], metrics[replica].accuracy);
    }
  };

  Watched watch() {
    Watched watched;
    watched.metrics = measurements_.watched();
    watched.losses = measurements_.watched_losses(watched.metrics);
    return watched;
  }

  // Empty where there is no average.
  Watched watch_average() {
    if (!average_) return {};
    average_->exchange(network_);
    Watched watched = watch();
    average_->exchange(network_);
    return watched;
  }

  // Leaves each network as it is reported and saved: with its best parameters, and the statistics that go with
  // them.
  void load_best() {
    if (average_ && !measurements_.has_watched()) keep_averages(trained_to_the_end());
    best_.load(network_);
    reestimated_.assign(outcomes_.replicas(), options_.reestimate_batch_norm);
    if (options_.reestimate_batch_norm) choose_statistics();
  }

  void choose_statistics() {
    const bool watches = measurements_.has_watched();
    const Watched before = watches ? watch() : Watched();
    RunningStatistics running(network_.architecture(), network_.replicas(), network_.options());
    running.flat.copy_(network_.running.flat);
    reestimate_statistics(network_, data_.train);
    const Watched after = watches ? watch() : Watched();
    std::vector<std::int64_t> to_go_back;
    for (std::size_t r = 0; watches && r < reestimated_.size(); ++r) {
      reestimated_[r] = after.score(r, options_) <= before.score(r, options_);
      if (!reestimated_[r]) to_go_back.push_back(static_cast<std::int64_t>(r));
    }
    copy_networks(network_.parameters, network_.running, network_.parameters, running, to_go_back);
  }

  void hand_over() {
    TrainingState state;
    save(state);
    handed_over_ = step_;
    observer_.on_checkpoint(std::move(state));
  }

  void save(TrainingState& state) {
    state.set("step", step_);
    state.tensors["parameters"] = network_.parameters.flat;
    state.tensors["running"] = network_.running.flat;
    stepper_.optimizer().state().save(state, "");
    finite_->save(state);
    if (average_) average_->save(state);
    best_.save(state);
    stopping_.save(state);
    outcomes_.save(state);
    clock_.save(state);
  }

  void restore(const TrainingState& state) {
    step_ = state.step("step", timetable_.total());
    network_.parameters.flat.copy_(state.tensor("parameters", network_.parameters.flat));
    network_.running.flat.copy_(state.tensor("running", network_.running.flat));
    OptimizerState optimizer = stepper_.optimizer().state();  // of which the buffers are the optimizer's own
    optimizer.restore(state, "");
    stepper_.optimizer().set_state(optimizer);
    finite_->restore(state);
    if (average_) average_->restore(state);
    best_.restore(state);
    stopping_.restore(state);
    outcomes_.restore(state);
    clock_.restore(state);
  }

  // Nobody may have looked at what the last update left. A training that goes on from the checkpoint has not
  // seen this evaluation.
  void look_at_the_last_update() {
    const bool unwatched =
        interrupted_ && measurements_.has_watched() && !timetable_.evaluation_due(step_) && !keeps_last();
    const bool unseen = !measurements_.has_watched() || keeps_last();
    measurements_.begin((unwatched ? data_.watched.count() : 0) + (unseen ? data_.train.count() : 0));
    if (unwatched) evaluate_watched();
    if (unseen) stop_non_finite(losses_of(measurements_.train_set()));
  }

  // The results as if training ended here, which it does not.
  std::vector<ReplicaResult> report_so_far() {
    const Tensor parameters = network_.parameters.flat.clone();
    const Tensor running = network_.running.flat.clone();
    measurements_.begin(0);
    load_best();
    std::vector<ReplicaResult> results = measure(StopReason::max_epochs);
    measurements_.end();
    network_.parameters.flat.copy_(parameters);
    network_.running.flat.copy_(running);
    return results;
  }

  // at_end: why the networks stop that had no other reason.
  std::vector<ReplicaResult> measure(StopReason at_end) {
    const std::vector<Measured> measured = measurements_.all();
    std::vector<ReplicaResult> results(measured.size());
    for (std::size_t r = 0; r < results.size(); ++r) {
      ReplicaResult& result = results[r];
      static_cast<Measured&>(result) = measured[r];
      result.seed = options_.seeds[r];
      result.stopped = outcomes_.stopped(r, at_end);
      result.fault = outcomes_.fault(r);
      result.steps = outcomes_.steps(r);
      const bool is_last = !best_.has(r) && result.stopped != StopReason::non_finite;
      result.best_step = is_last ? step_ : best_.step(r);
      result.train_cost = outcomes_.train_cost(r);
      result.averaged = best_.is_average(r);
      result.reestimated = reestimated_[r];
    }
    return results;
  }

  void finish(TrainingResult& result) {
    const StopReason at_end = interrupted_ ? StopReason::interrupted : StopReason::max_epochs;
    result.steps = step_;
    result.epochs = timetable_.epoch(step_);
    result.stopped = outcomes_.any_trains()                                 ? at_end
                     : outcomes_.any_stopped_by(StopReason::early_stopping) ? StopReason::early_stopping
                                                                            : StopReason::non_finite;
    load_best();
    result.replicas = measure(at_end);
    if (const Standardisation& images = data_.train.standardisation; images.defined()) {
      network_.substitute_input(1 / images.deviation, -images.mean / images.deviation);
    }
    result.seconds = clock_.seconds();
    result.microseconds_per_step = clock_.microseconds_per_step(step_);
  }

  Network& network_;
  const Splits& data_;
  const TrainingOptions& options_;
  TrainingObserver& observer_;
  OwnStream stream_;  // before all that is allocated on it
  Stepper stepper_;
  Timetable timetable_;
  Measurements measurements_;
  EarlyStopping stopping_;
  std::optional<AveragedNetworks> average_;
  BestNetworks best_;
  std::vector<bool> reestimated_;  // whether batch norm's statistics are in the networks as they are reported
  Outcomes outcomes_;
  std::optional<Snapshot> finite_;  // of the last time that all was well
  Tensor loss_;                     // [R], of the last recorded step
  TrainingClock clock_;
  std::int64_t step_ = 0;          // steps taken
  std::int64_t handed_over_ = -1;  // after this step
  bool interrupted_ = false;
};

}  // namespace

TrainingResult train(Network& network, const Splits& data, const TrainingOptions& options,
                     TrainingObserver& observer, const TrainingState* from) {
  validate(options, network.architecture(), network.replicas(), data.train.count(),
           network.network_options());
  if (static_cast<std::int64_t>(options.data_seeds.size()) != data.train.lanes()) {
    throw ArgumentError(fmt::format("{} data seeds for {} lanes of images; each lane needs its own",
                                    options.data_seeds.size(), data.train.lanes()));
  }
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  return Training(network, data, options, observer).run(from);
}

}  // namespace handgrad
