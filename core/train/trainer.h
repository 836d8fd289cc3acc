// Training: batches in a seeded order, a step of gradient descent each, evaluation, early stopping.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "handgrad/data/dataset.h"
#include "handgrad/train/measurements.h"
#include "handgrad/train/outcomes.h"
#include "handgrad/train/timetable.h"
#include "handgrad/train/training_observer.h"
#include "handgrad/train/training_options.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

struct ReplicaResult : Measured {
  std::uint64_t seed = 0;
  StopReason stopped = StopReason::max_epochs;
  // For non_finite: where that began; the parameters are the best before, if there were any.
  std::string fault;
  std::int64_t steps = 0;      // until it stopped
  std::int64_t best_step = 0;  // that the parameters are of
  bool averaged = false;       // they are the moving average
  bool reestimated = false;    // batch norm has the statistics of all training images
  double train_cost =
      0;  // what the described project calls cost: loss and L2 penalty of the last recorded batch
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
// validation set, or with Stopping::no_change). A network whose loss leaves the finite numbers stops, and
// disturbs no other. Networks take images of 0 to 1 before and after; what standardising does to the images is
// undone in their first layer. Deterministic: the same bits for the same arguments, device, thread count and build.
// `from`: the state of an earlier training with the same arguments, from which this one goes on to the same
// bits as if that had not stopped; more epochs may be asked for, to which it goes on from its former end.
// Throws what validate throws, ModelError where the state is of another network.
TrainingResult train(Network& network, const Splits& data, const TrainingOptions& options,
                     TrainingObserver& observer, const TrainingState* from = nullptr);

}  // namespace handgrad
