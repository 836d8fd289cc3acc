// How to train: every setting of a training run, and what each may be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/data/augment.h"
#include "handgrad/nn/network_options.h"
#include "handgrad/train/interval.h"
#include "handgrad/train/optimizer.h"
#include "handgrad/train/rate_schedule.h"

namespace handgrad {

struct TrainingOptions {
  std::int64_t batch_size = 32;
  std::int64_t epochs = 100;
  OptimizerOptions optimizer;
  std::vector<double> learning_rate = {0.009};  // one for all networks, or one each
  RateScheduleOptions schedule;                 // of all learning rates
  std::vector<double> l2 = {0.01};         // λ of (λ / 2m) Σ‖W‖²; one for all networks, or one each
  std::vector<std::uint64_t> seeds = {1};  // of the initial weights, one per network
  bool initialise = true;  // false: training goes on from the parameters that the networks have
  std::vector<std::uint64_t> data_seeds = {1};  // of the batch order, one per lane of the examples
  bool prefetch = false;   // a second thread gathers the batches; the results are the same
  bool cuda_graph = true;  // on a GPU: steps are recorded once and replayed; the results are the same
  bool reshuffle = true;   // false: the batches of all epochs are those of the first
  double label_smoothing = 0;
  std::optional<double> clip;  // the largest norm of a network's gradients, penalty included; none: any
  AugmentChoice augment;       // of the training images; those that are evaluated stay as they are
  double augment_final = 1;    // the share of its bounds that is left at the end: they fall as the rate does
  Interval evaluate_every;
  // What the watched set must be better in for its parameters to be the best so far.
  enum class Monitor { loss, accuracy };
  Monitor monitor = Monitor::loss;
  // Of an exponential moving average of the parameters, step by step; 0: there is none. Where the watched set
  // says that it is better than they are, it counts in their place; without such a set it always does.
  double ema = 0;
  // Whether at the end batch norm gets the statistics of all training images, not augmented, where the watched
  // set does not say that the running averages are better.
  bool reestimate_batch_norm = false;
  // What ends training early. patience: so many evaluations without an improvement, a validation loss that is
  // lower than at the last one (or an accuracy that is higher) by more than min_delta; none: nothing does. no_change: two validation losses,
  // 100 steps apart, that differ by less than min_delta either way; the last parameters are kept then.
  enum class Stopping { patience, no_change };
  Stopping stopping = Stopping::patience;
  std::optional<std::int64_t> patience = 10;
  double min_delta = 1e-5;
  // Whether validation losses contain the L2 penalty, divided by the size of the set.
  bool watch_penalty = false;
  // Epochs after which the results are reported too, as if training had ended there. An evaluation must be
  // due after each, except with Stopping::no_change.
  std::vector<std::int64_t> report_epochs;
};

// The largest counts, and the largest learning rates, penalties and decays: what float32 and int64 arithmetic
// hold.
constexpr std::int64_t largest_count = 1000000000;
constexpr double largest_factor = 1e38;

// Throws ArgumentError for options out of range, whatever the data.
void validate(const TrainingOptions& options, const Architecture& architecture, std::int64_t replica_count);

// The same, and throws DataError when batches of that size do not fit so many images.
void validate(const TrainingOptions& options, const Architecture& architecture, std::int64_t replica_count,
              std::int64_t train_images, const NetworkOptions& network_options = {});

}  // namespace handgrad
