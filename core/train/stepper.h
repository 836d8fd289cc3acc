// One step of training after the other: the batch, its gradients, the update.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "handgrad/data/batches.h"
#include "handgrad/nn/network.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/train/optimizer.h"
#include "handgrad/train/training_options.h"

namespace handgrad {

// Allocates all that steps need: a step allocates no tensor storage.
class Stepper {
 public:
  // Network and examples must outlive the stepper. Options as validate has passed them.
  Stepper(Network& network, const Examples& examples, const TrainingOptions& options);

  // Leaves the gradients of a step (from 0, through all epochs) in the network; loss [R], where asked for:
  // the data loss of its batch. The workspace is that of the pass.
  const Workspace& differentiate(std::int64_t step, Tensor* loss = nullptr);

  // Updates the parameters from these gradients.
  void update();

  // Both at once, to the same bits: on a GPU the launches of a step are recorded and replayed. The current
  // stream must then be an OwnStream.
  void advance(std::int64_t step);

  std::int64_t steps_per_epoch() const { return batches_.per_epoch(); }
  const L2& l2() const { return l2_; }
  // In that step, one per network.
  std::vector<double> learning_rate(std::int64_t step) const;
  Optimizer& optimizer() { return optimizer_; }

 private:
  // What changes from step to step, and is no part of what a graph records: the rate, the seeds of dropout.
  Workspace& prepare(std::int64_t step);

  // A batch lies where the batch of the same place in a block of batches lay before it, so that each place
  // has a graph for all its batches.
  struct Place {
    bool has_run = false;
    std::optional<LaunchGraph> graph;
  };

  Network& network_;
  std::vector<std::uint64_t> seeds_, data_seeds_;
  std::optional<double> clip_;
  std::vector<Tensor> gradients_;  // the views of the network's
  std::vector<double> learning_rate_;
  L2 l2_;
  RateSchedule schedule_;
  Examples examples_;  // with the targets that are trained for
  Batches batches_;
  Optimizer optimizer_;
  Workspace workspace_;
  std::optional<Workspace> last_workspace_;  // where the last batch of an epoch is smaller
  bool records_;
  std::map<const Batch*, Place> places_;
  const LaunchGraph* first_graph_ = nullptr;  // whose memory the others share
};

}  // namespace handgrad
