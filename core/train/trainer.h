// Training: batches in a seeded order, a step of gradient descent each, evaluation, early stopping.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/data/dataset.h"
#include "handgrad/train/evaluator.h"
#include "handgrad/train/training_options.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

// Every so many steps the training loss is recorded, and looked at: a loss that is no number ends training.
constexpr std::int64_t steps_per_record = 100;

struct TrainRecord {
  std::int64_t step = 0;                                // steps done
  std::int64_t epoch = 0;                               // the epoch that this step belongs to, from 1
  std::vector<double> loss, l2_penalty, learning_rate;  // per network; the loss of this step's batch
};

struct EvaluationRecord {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::vector<LossAndAccuracy> validation;  // per network, of the watched set
};

// What the caller of train hears while it runs.
class TrainingObserver {
 public:
  TrainingObserver() = default;
  TrainingObserver(const TrainingObserver&) = delete;
  TrainingObserver& operator=(const TrainingObserver&) = delete;
  virtual ~TrainingObserver() = default;

  virtual void on_step(std::int64_t /*step*/, std::int64_t /*total_steps*/) {}
  virtual void on_train(const TrainRecord& /*record*/) {}
  virtual void on_evaluation(const EvaluationRecord& /*record*/) {}
  // Asked after each step; true ends training as if it had been the last step.
  virtual bool stop_requested() { return false; }
  // Asked after each step whose records are made; true has the state of training handed over. That is done
  // too where training stops for a request, and after the last step.
  virtual bool checkpoint_due(std::int64_t /*step*/, bool /*epoch_ended*/) { return false; }
  virtual void on_checkpoint(TrainingState /*state*/) {}
  // Called while the networks are measured, which for thousands of them takes minutes: so many images of
  // `total` are done. What it throws ends train; the state of a training that has ended was handed over.
  virtual void on_measuring(std::int64_t /*images*/, std::int64_t /*total*/) {}
};

enum class StopReason { max_epochs, early_stopping, non_finite, interrupted };

// "max_epochs", "early_stopping", "non_finite", "interrupted".
const char* to_string(StopReason reason);

struct ReplicaResult {
  std::uint64_t seed = 0;
  StopReason stopped = StopReason::max_epochs;
  // For non_finite: where that began; the parameters are the best before, if there were any.
  std::string fault;
  std::int64_t steps = 0;      // until it stopped
  std::int64_t best_step = 0;  // that the parameters are of
  LossAndAccuracy train, test;
  std::optional<LossAndAccuracy> validation;
  double l2_penalty = 0;
  // What the described project calls cost: data loss and L2 penalty, of the last recorded batch and of the
  // watched set. The second of the latter is divided by the batch size too, or with set_size_penalty by the
  // size of the set.
  double train_cost = 0;
  std::optional<double> validation_cost;
};

struct TrainingResult {
  std::int64_t steps = 0;
  std::int64_t epochs = 0;           // begun
  double seconds = 0;                // all of it, evaluation included
  double microseconds_per_step = 0;  // shuffling included, evaluation apart; 0 when there was no step
  StopReason stopped = StopReason::max_epochs;  // of the networks that trained longest
  std::vector<ReplicaResult> replicas;
  // After each of the options' report_epochs that training got to.
  std::map<std::int64_t, std::vector<ReplicaResult>> at_epoch;
};

// Initialises the networks, unless the options say otherwise, trains them on data.train and leaves each with
// its best parameters, those of the last improvement of the validation loss (the last ones where there is no
// validation set, or with delta_stop). A network whose loss leaves the finite numbers stops, and disturbs no
// other. Deterministic: the same bits for the same arguments, device, thread count and build. `from`: the
// state of an earlier training with the same arguments, from which this one goes on to the same bits as if
// that had not stopped; more epochs may be asked for, to which it goes on from its former end. Throws what
// validate throws, ModelError where the state is of another network.
TrainingResult train(Network& network, const Splits& data, const TrainingOptions& options,
                     TrainingObserver& observer, const TrainingState* from = nullptr);

}  // namespace handgrad
