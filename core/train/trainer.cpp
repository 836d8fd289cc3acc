// Training: epochs of steps, evaluation, early stopping.
#include "handgrad/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <set>

#include "handgrad/base/errors.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/train/stepper.h"

namespace handgrad {

namespace {

using Clock = std::chrono::steady_clock;

std::vector<double> to_vector(const Tensor& tensor) {
  const Tensor values = tensor.to(at::kCPU, at::kDouble).contiguous();
  const double* first = values.data_ptr<double>();
  return {first, first + values.numel()};
}

std::vector<double> losses_of(const std::vector<LossAndAccuracy>& metrics) {
  std::vector<double> losses;
  for (const LossAndAccuracy& of_network : metrics) losses.push_back(of_network.loss);
  return losses;
}

// What a step changes, so that it can be set back.
struct State {
  State(const Network& network, const Optimizer& optimizer)
      : parameters(network.parameters.flat.clone()),
        running(network.running.flat.clone()),
        optimizer(optimizer.state().clone()) {}

  void save(const Network& network, const Optimizer& source, std::int64_t at_step) {
    parameters.copy_(network.parameters.flat);
    running.copy_(network.running.flat);
    optimizer.copy_from(source.state());
    step = at_step;
  }

  void restore(Network& network, Optimizer& target) const {
    network.parameters.flat.copy_(parameters);
    network.running.flat.copy_(running);
    target.set_state(optimizer);
  }

  Tensor parameters, running;
  OptimizerState optimizer;
  std::int64_t step = 0;
};

class Training {
 public:
  Training(Network& network, const Splits& data, const TrainingOptions& options, TrainingObserver& observer)
      : network_(network),
        data_(data),
        options_(options),
        observer_(observer),
        stream_(network.options().device()),
        stepper_(network, data.train, options),
        loss_(at::zeros({network.replicas()}, network.options())),
        best_parameters_(network.architecture(), network.replicas(), network.options()),
        best_running_(network.architecture(), network.replicas(), network.options()),
        replicas_(static_cast<std::size_t>(network.replicas())) {
    if (data.watched.count() > 0) watched_.emplace(network, data.watched);
  }

  TrainingResult run(const TrainingState* from) {
    std::chrono::nanoseconds earlier_time{};
    std::chrono::nanoseconds earlier_training_time{};
    const Clock::time_point begin = Clock::now();
    if (options_.initialise && from == nullptr) network_.initialise(options_.seeds);
    State checked(network_, stepper_.optimizer());
    const std::int64_t total = options_.epochs * stepper_.steps_per_epoch();
    if (from != nullptr) {
      restore(*from, checked, total);
      earlier_time = std::chrono::nanoseconds(from->number("nanoseconds"));
      earlier_training_time = std::chrono::nanoseconds(from->number("training_nanoseconds"));
    }
    const std::int64_t evaluation_steps = steps_between_evaluations();
    std::set<std::int64_t> report_steps;
    for (const std::int64_t epochs : options_.report_epochs) {
      const std::int64_t step = epochs * stepper_.steps_per_epoch();
      if (step % evaluation_steps != 0 && !compat().delta_stop) {
        throw ArgumentError(fmt::format(
            "report epochs: no evaluation is due after epoch {}; evaluate at least then", epochs));
      }
      report_steps.insert(step);
    }
    TrainingResult result;

    LaunchTimer training_time(network_.options().device());
    std::int64_t handed_over = -1;  // after this step
    const auto hand_over = [&] {
      handed_over = steps_;
      TrainingState state = current_state(checked);
      const std::chrono::nanoseconds time = earlier_time + (Clock::now() - begin);
      state.set("nanoseconds", time.count());
      state.set("training_nanoseconds", (earlier_training_time + training_time.total()).count());
      observer_.on_checkpoint(std::move(state));
    };
    training_time.start();
    while (steps_ < total && running() && !interrupted_) {
      const bool report = report_steps.count(steps_ + 1) > 0;
      const bool record = (steps_ + 1) % steps_per_record == 0 || steps_ + 1 == total || report;
      if (record) {
        record_step(checked);
        checked.save(network_, stepper_.optimizer(), steps_);
      } else {
        stepper_.advance(steps_);
        count_step();
      }
      observer_.on_step(steps_, total);
      interrupted_ = observer_.stop_requested();
      // Delta-stop compares costs that are a fixed number of steps apart.
      const bool evaluate = steps_ % evaluation_steps == 0 || (steps_ == total && !compat().delta_stop);
      const bool epoch_ended = steps_ % stepper_.steps_per_epoch() == 0;
      const bool checkpoint = interrupted_ || observer_.checkpoint_due(steps_, epoch_ended);
      if (!evaluate && !report && !checkpoint) continue;
      training_time.stop();
      if (evaluate) evaluate_watched(checked);
      if (report && steps_ < total) result.at_epoch[epoch_number()] = report_so_far();
      if (checkpoint) hand_over();
      training_time.start();
    }
    training_time.stop();
    if (!interrupted_) {
      if (handed_over != steps_) hand_over();
    }
    const bool unwatched =
        interrupted_ && watched_ && steps_ % evaluation_steps != 0 && steps_ < total && !compat().delta_stop;
    // Nobody may have looked at what the last update left.
    const bool unseen = !watched_ || compat().delta_stop;
    begin_measuring((unwatched ? data_.watched.count() : 0) + (unseen ? data_.train.count() : 0));
    // For this result alone: training that goes on from the checkpoint has not seen it.
    if (unwatched) evaluate_watched(checked);
    if (unseen) stop_non_finite(checked, losses_of(measured(data_.train)));
    finish(result);
    result.seconds = std::chrono::duration<double>(earlier_time + (Clock::now() - begin)).count();
    if (steps_ > 0) {
      const std::chrono::duration<double, std::micro> time = earlier_training_time + training_time.total();
      result.microseconds_per_step = time.count() / static_cast<double>(steps_);
    }
    return result;
  }

 private:
  struct Replica {
    std::optional<StopReason> stopped;
    std::string fault;
    double best_loss = std::numeric_limits<double>::infinity();
    double previous_loss = std::numeric_limits<double>::infinity();  // with delta_stop
    std::int64_t best_step = 0;
    bool has_best = false;
    std::int64_t evaluations_since_best = 0;
    std::int64_t steps = 0;
    double train_cost = std::numeric_limits<double>::quiet_NaN();
  };

  // What is remembered of each network, as a row of numbers each.
  template <typename Visit>
  static void for_each_number(Visit visit) {
    visit("best_loss", [](Replica& r) -> double& { return r.best_loss; });
    visit("previous_loss", [](Replica& r) -> double& { return r.previous_loss; });
    visit("train_cost", [](Replica& r) -> double& { return r.train_cost; });
    visit("best_step", [](Replica& r) -> std::int64_t& { return r.best_step; });
    visit("evaluations_since_best", [](Replica& r) -> std::int64_t& { return r.evaluations_since_best; });
    visit("steps", [](Replica& r) -> std::int64_t& { return r.steps; });
  }

  // The tensors that a state consists of, by name.
  std::map<std::string, Tensor> state_tensors(const State& checked) {
    std::map<std::string, Tensor> tensors = {
        {"parameters", network_.parameters.flat},   {"running", network_.running.flat},
        {"best_parameters", best_parameters_.flat}, {"best_running", best_running_.flat},
        {"checked.parameters", checked.parameters}, {"checked.running", checked.running}};
    const std::vector<Tensor>& buffers = stepper_.optimizer().state().buffers;
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      tensors[fmt::format("optimizer.{}", i)] = buffers[i];
      tensors[fmt::format("checked.optimizer.{}", i)] = checked.optimizer.buffers[i];
    }
    return tensors;
  }

  TrainingState current_state(const State& checked) {
    TrainingState state;
    state.tensors = state_tensors(checked);
    state.set("step", steps_);
    state.set("optimizer.steps", stepper_.optimizer().state().steps);
    state.set("checked.step", checked.step);
    state.set("checked.optimizer.steps", checked.optimizer.steps);
    for_each_number([&](const char* name, auto number_of) {
      std::vector<std::decay_t<decltype(number_of(replicas_.front()))>> numbers;
      for (Replica& replica : replicas_) numbers.push_back(number_of(replica));
      state.tensors[fmt::format("replica.{}", name)] = at::tensor(numbers);
    });
    std::vector<std::int64_t> has_best;
    std::vector<std::int64_t> stopped;  // -1: not yet
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      has_best.push_back(replicas_[r].has_best ? 1 : 0);
      stopped.push_back(replicas_[r].stopped ? static_cast<std::int64_t>(*replicas_[r].stopped) : -1);
      if (!replicas_[r].fault.empty()) state.text[fmt::format("fault.{}", r)] = replicas_[r].fault;
    }
    state.tensors["replica.has_best"] = at::tensor(has_best);
    state.tensors["replica.stopped"] = at::tensor(stopped);
    return state;
  }

  [[noreturn]] static void refuse_state() {
    throw ModelError("the checkpoint has counts of steps that no such training has; begin another run");
  }

  void restore(const TrainingState& state, State& checked, std::int64_t total) {
    for (auto& [name, tensor] : state_tensors(checked)) tensor.copy_(state.tensor(name, tensor));
    OptimizerState optimizer = stepper_.optimizer().state();  // the buffers are its own, and restored by now
    optimizer.steps = state.number("optimizer.steps");
    stepper_.optimizer().set_state(optimizer);
    checked.optimizer.steps = state.number("checked.optimizer.steps");
    checked.step = state.number("checked.step");
    steps_ = state.number("step");
    const bool possible = checked.step >= 0 && checked.step <= steps_ && steps_ <= total &&
                          optimizer.steps >= 0 && checked.optimizer.steps >= 0;
    if (!possible) refuse_state();
    const auto count = static_cast<std::int64_t>(replicas_.size());
    for_each_number([&](const char* name, auto number_of) {
      using Number = std::decay_t<decltype(number_of(replicas_.front()))>;
      const Tensor like = at::empty({count}, c10::CppTypeToScalarType<Number>::value);
      const Tensor numbers = state.tensor(fmt::format("replica.{}", name), like);
      for (std::size_t r = 0; r < replicas_.size(); ++r) {
        number_of(replicas_[r]) = numbers.data_ptr<Number>()[r];
      }
    });
    const Tensor like = at::empty({count}, at::kLong);
    const Tensor has_best = state.tensor("replica.has_best", like);
    const Tensor stopped = state.tensor("replica.stopped", like);
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      replicas_[r].has_best = has_best.data_ptr<std::int64_t>()[r] != 0;
      const std::int64_t reason = stopped.data_ptr<std::int64_t>()[r];
      const auto before_step = [&](std::int64_t step) { return step >= 0 && step <= steps_; };
      if (!before_step(replicas_[r].best_step) || !before_step(replicas_[r].steps) || reason < -1 ||
          reason > static_cast<std::int64_t>(StopReason::non_finite)) {
        refuse_state();
      }
      if (reason >= 0) replicas_[r].stopped = static_cast<StopReason>(reason);
      const auto fault = state.text.find(fmt::format("fault.{}", r));
      if (fault != state.text.end()) replicas_[r].fault = fault->second;
    }
  }

  std::int64_t steps_between_evaluations() const {
    if (compat().delta_stop) return steps_per_record;
    const bool epochs = options_.evaluate_every.unit == Interval::Unit::epochs;
    return options_.evaluate_every.count * (epochs ? stepper_.steps_per_epoch() : 1);
  }

  const Compat& compat() const { return network_.compat(); }

  bool running() const {
    return std::any_of(replicas_.begin(), replicas_.end(), [](const Replica& r) { return !r.stopped; });
  }

  std::int64_t epoch_number() const {
    return (steps_ + stepper_.steps_per_epoch() - 1) / stepper_.steps_per_epoch();
  }

  void count_step() {
    ++steps_;
    for (Replica& replica : replicas_) {
      if (!replica.stopped) replica.steps = steps_;
    }
  }

  // A step whose loss is looked at, with all that is not finite in it.
  void record_step(const State& checked) {
    stepper_.differentiate(steps_, &loss_);
    const Tensor penalty = network_.l2_penalty(stepper_.l2(), options_.batch_size);
    stepper_.update();
    count_step();
    // Both at once: each copy from a GPU waits for it.
    const Tensor costs = at::stack({loss_.to(at::kDouble), penalty.to(at::kDouble)});
    const std::vector<double> values = to_vector(costs);
    const auto penalties = values.begin() + network_.replicas();
    const TrainRecord entry{steps_,
                            epoch_number(),
                            {values.begin(), penalties},
                            {penalties, values.end()},
                            stepper_.learning_rate()};
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      if (!replicas_[r].stopped) replicas_[r].train_cost = entry.loss[r] + entry.l2_penalty[r];
    }
    observer_.on_train(entry);
    stop_non_finite(checked, entry.loss);
  }

  // Ends the networks whose loss is no number. `checked` is the state of the last time that all was well.
  void stop_non_finite(const State& checked, const std::vector<double>& loss) {
    std::vector<std::size_t> failed;
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      if (!replicas_[r].stopped && !std::isfinite(loss[r])) failed.push_back(r);
    }
    if (!failed.empty()) find_faults(checked, failed);
  }

  // Takes the steps since `checked` again, which gives the same bits, and looks where each trouble began.
  void find_faults(const State& checked, const std::vector<std::size_t>& failed) {
    const std::int64_t seen_at = steps_;
    for (const std::size_t r : failed) replicas_[r].stopped = StopReason::non_finite;
    const auto look = [&](const auto& fault_of) {
      for (const std::size_t r : failed) {
        if (!replicas_[r].fault.empty()) continue;
        const std::string where = fault_of(static_cast<std::int64_t>(r));
        if (!where.empty()) {
          replicas_[r].fault = fmt::format("step {}: {} is no longer finite", steps_ + 1, where);
        }
      }
    };
    checked.restore(network_, stepper_.optimizer());
    for (steps_ = checked.step; steps_ < seen_at; ++steps_) {
      const Workspace& workspace = stepper_.differentiate(steps_);
      look([&](std::int64_t r) { return network_.fault_in_pass(workspace, r); });
      stepper_.update();
      look([&](std::int64_t r) { return network_.fault_in_parameters(r); });
    }
    for (const std::size_t r : failed) {
      // Finite logits can be so far apart that their cross entropy is not.
      if (replicas_[r].fault.empty())
        replicas_[r].fault = fmt::format("step {}: the loss is no longer finite", seen_at);
    }
  }

  // The costs by which training stops: data losses, with set_size_penalty and the penalty.
  std::vector<double> watched_losses(const std::vector<LossAndAccuracy>& metrics) const {
    std::vector<double> losses = losses_of(metrics);
    if (!compat().set_size_penalty) return losses;
    const std::vector<double> penalty = to_vector(network_.l2_penalty(stepper_.l2(), data_.watched.count()));
    for (std::size_t r = 0; r < losses.size(); ++r) losses[r] += penalty[r];
    return losses;
  }

  void evaluate_watched(const State& checked) {
    if (!watched_) return;
    EvaluationRecord record{steps_, epoch_number(), measured(*watched_)};
    observer_.on_evaluation(record);
    const std::vector<double> losses = watched_losses(record.validation);
    stop_non_finite(checked, losses);
    std::vector<std::int64_t> improved;
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      Replica& replica = replicas_[r];
      if (replica.stopped) continue;
      const double loss = losses[r];
      if (compat().delta_stop) {
        if (std::abs(replica.previous_loss - loss) < options_.min_delta) {
          replica.stopped = StopReason::early_stopping;
          improved.push_back(static_cast<std::int64_t>(r));
        }
        replica.previous_loss = loss;
      } else if (replica.best_loss - loss > options_.min_delta) {
        replica.best_loss = loss;
        replica.evaluations_since_best = 0;
        improved.push_back(static_cast<std::int64_t>(r));
      } else {
        ++replica.evaluations_since_best;
        if (options_.patience && replica.evaluations_since_best >= *options_.patience) {
          replica.stopped = StopReason::early_stopping;
        }
      }
    }
    keep_best(improved);
  }

  void keep_best(const std::vector<std::int64_t>& replicas) {
    for (const std::int64_t r : replicas) {
      replicas_[static_cast<std::size_t>(r)].best_step = steps_;
      replicas_[static_cast<std::size_t>(r)].has_best = true;
    }
    copy_networks(best_parameters_, best_running_, network_.parameters, network_.running, replicas);
  }

  // The results as if training ended here, which it does not.
  std::vector<ReplicaResult> report_so_far() {
    const Tensor parameters = network_.parameters.flat.clone();
    const Tensor running = network_.running.flat.clone();
    const std::vector<Replica> replicas = replicas_;
    load_best();
    begin_measuring(0);
    std::vector<ReplicaResult> results = measure(StopReason::max_epochs);
    images_to_measure_ = 0;
    replicas_ = replicas;
    network_.parameters.flat.copy_(parameters);
    network_.running.flat.copy_(running);
    return results;
  }

  // Leaves each network with the parameters that it is to be judged by.
  void load_best() {
    std::vector<std::int64_t> better;
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      if (!replicas_[r].has_best && replicas_[r].stopped != StopReason::non_finite) {
        replicas_[r].best_step = steps_;
      } else if (replicas_[r].has_best) {
        better.push_back(static_cast<std::int64_t>(r));
      }
    }
    copy_networks(network_.parameters, network_.running, best_parameters_, best_running_, better);
  }

  void finish(TrainingResult& result) {
    const StopReason at_end = interrupted_ ? StopReason::interrupted : StopReason::max_epochs;
    const auto stopped_by = [&](StopReason reason) {
      return std::any_of(replicas_.begin(), replicas_.end(),
                         [&](const Replica& r) { return r.stopped == reason; });
    };
    result.steps = steps_;
    result.epochs = epoch_number();
    result.stopped = running()                                ? at_end
                     : stopped_by(StopReason::early_stopping) ? StopReason::early_stopping
                                                              : StopReason::non_finite;
    load_best();
    result.replicas = measure(at_end);
  }

  // `more`: images besides those that measure() takes.
  void begin_measuring(std::int64_t more) {
    images_measured_ = 0;
    images_to_measure_ = more + data_.measured.count() + data_.test.count() + data_.validation.count() +
                         (watched_ ? data_.watched.count() : 0);
    observer_.on_measuring(0, images_to_measure_);
  }

  std::vector<LossAndAccuracy> measured(Evaluator& evaluator) {
    return evaluator.evaluate([this](std::int64_t images) {
      if (images_to_measure_ == 0) return;
      images_measured_ += images;
      observer_.on_measuring(images_measured_, images_to_measure_);
    });
  }

  std::vector<LossAndAccuracy> measured(const Examples& set) {
    Evaluator evaluator(network_, set);
    return measured(evaluator);
  }

  // at_end: why the networks stop that had no other reason.
  std::vector<ReplicaResult> measure(StopReason at_end) {
    const std::vector<LossAndAccuracy> train_metrics = measured(data_.measured);
    const std::vector<LossAndAccuracy> test_metrics = measured(data_.test);
    std::vector<LossAndAccuracy> validation_metrics;
    if (data_.validation.count() > 0) validation_metrics = measured(data_.validation);
    const std::vector<double> penalty = to_vector(network_.l2_penalty(stepper_.l2(), options_.batch_size));
    std::vector<double> validation_costs;
    if (watched_) {
      const std::vector<LossAndAccuracy> metrics = measured(*watched_);
      validation_costs = watched_losses(metrics);
      for (std::size_t r = 0; !compat().set_size_penalty && r < penalty.size(); ++r) {
        validation_costs[r] += penalty[r];
      }
    }
    std::vector<ReplicaResult> results;
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      ReplicaResult replica;
      replica.seed = options_.seeds[r];
      replica.stopped = replicas_[r].stopped.value_or(at_end);
      replica.fault = replicas_[r].fault;
      replica.steps = replicas_[r].steps;
      replica.best_step = replicas_[r].best_step;
      replica.train = train_metrics[r];
      replica.test = test_metrics[r];
      if (!validation_metrics.empty()) replica.validation = validation_metrics[r];
      replica.l2_penalty = penalty[r];
      replica.train_cost = replicas_[r].train_cost;
      if (watched_) replica.validation_cost = validation_costs[r];
      results.push_back(replica);
    }
    return results;
  }

  Network& network_;
  const Splits& data_;
  const TrainingOptions& options_;
  TrainingObserver& observer_;
  OwnStream stream_;  // before all that is allocated on it
  Stepper stepper_;
  std::optional<Evaluator> watched_;
  Tensor loss_;  // [R], of the last recorded step
  Parameters best_parameters_;
  RunningStatistics best_running_;
  std::vector<Replica> replicas_;
  std::int64_t steps_ = 0;
  bool interrupted_ = false;
  std::int64_t images_measured_ = 0;
  std::int64_t images_to_measure_ = 0;  // 0 while training goes on
};

}  // namespace

const char* to_string(StopReason reason) {
  switch (reason) {
    case StopReason::max_epochs:
      return "max_epochs";
    case StopReason::early_stopping:
      return "early_stopping";
    case StopReason::non_finite:
      return "non_finite";
    case StopReason::interrupted:
      return "interrupted";
  }
  return "";
}

TrainingResult train(Network& network, const Splits& data, const TrainingOptions& options,
                     TrainingObserver& observer, const TrainingState* from) {
  validate(options, network.architecture(), network.replicas(), data.train.count());
  if (static_cast<std::int64_t>(options.data_seeds.size()) != data.train.lanes()) {
    throw ArgumentError(fmt::format("{} data seeds for {} lanes of images; each lane needs its own",
                                    options.data_seeds.size(), data.train.lanes()));
  }
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  return Training(network, data, options, observer).run(from);
}

}  // namespace handgrad
