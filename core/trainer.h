// Training: batches in a seeded order, a step of gradient descent each, evaluation, early stopping.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataset.h"
#include "metrics.h"
#include "network.h"
#include "optimizer.h"

namespace handgrad {

// A number of steps or of epochs.
struct Interval {
  enum class Unit { steps, epochs };

  std::int64_t count = 1;
  Unit unit = Unit::epochs;
};

struct TrainingOptions {
  std::int64_t batch_size = 32;
  std::int64_t epochs = 100;
  OptimizerOptions optimizer;
  std::vector<double> learning_rate = {0.009};  // one for all networks, or one each
  std::vector<double> l2 = {0.01};         // λ of (λ / 2m) Σ‖W‖²; one for all networks, or one each
  std::vector<std::uint64_t> seeds = {1};  // of the initial weights, one per network
  std::uint64_t data_seed = 1;             // of the batch order
  Interval evaluate_every;
  std::int64_t patience =
      10;  // evaluations without an improvement of the validation loss by more than min_delta
  double min_delta = 1e-5;
};

// Every so many steps the training loss is recorded, and looked at: a loss that is no number ends training.
constexpr std::int64_t steps_per_record = 100;

// Images that are evaluated at once.
constexpr std::int64_t evaluation_batch_size = 1000;

// The largest counts, and the largest learning rates, penalties and decays: what float32 and int64 arithmetic
// hold.
constexpr std::int64_t largest_count = 1000000000;
constexpr double largest_factor = 1e38;

struct TrainRecord {
  std::int64_t step = 0;                                // steps done
  std::int64_t epoch = 0;                               // the epoch that this step belongs to, from 1
  std::vector<double> loss, l2_penalty, learning_rate;  // per network; the loss of this step's batch
};

struct EvaluationRecord {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::vector<LossAndAccuracy> validation;  // per network
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
};

enum class StopReason { max_epochs, early_stopping, non_finite, interrupted };

// "max_epochs", "early_stopping", "non_finite", "interrupted".
const char* to_string(StopReason reason);

struct ReplicaResult {
  std::uint64_t seed = 0;
  StopReason stopped = StopReason::max_epochs;
  std::string
      fault;  // for non_finite: where that began; the parameters are the best before, if there were any
  std::int64_t best_step = 0;
  LossAndAccuracy train, test;
  std::optional<LossAndAccuracy> validation;
  double l2_penalty = 0;
};

struct TrainingResult {
  std::int64_t steps = 0;
  std::int64_t epochs = 0;           // begun
  double seconds = 0;                // all of it, evaluation included
  double microseconds_per_step = 0;  // shuffling included, evaluation apart; 0 when there was no step
  StopReason stopped = StopReason::max_epochs;  // of the networks that trained longest
  std::vector<ReplicaResult> replicas;
};

// Throws ArgumentError for options out of range, DataError when batches of that size do not fit so many
// images.
void validate(const TrainingOptions& options, const Architecture& architecture, std::int64_t replica_count,
              std::int64_t train_images);

// Initialises the networks, trains them on data.train and leaves each with its best parameters by validation
// loss (the last ones where there is no validation set). Deterministic: the same bits for the same arguments,
// device, thread count and build. Throws what validate throws, and NumericError when no network keeps a
// finite loss.
TrainingResult train(Network& network, const Splits& data, const TrainingOptions& options,
                     TrainingObserver& observer);

// The images of an epoch (from 0) in the order in which they are trained on, [count] int64 on the CPU: a
// permutation that is a function of the seed and the epoch alone.
Tensor epoch_order(std::int64_t count, std::uint64_t data_seed, std::int64_t epoch);

// Loss and accuracy of each network on a set, with the running statistics where there is batch norm.
std::vector<LossAndAccuracy> evaluate(Network& network, const Examples& examples);

}  // namespace handgrad
