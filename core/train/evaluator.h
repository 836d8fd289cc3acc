// Loss and accuracy of networks on a set of images, as often as wanted.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "handgrad/data/dataset.h"
#include "handgrad/nn/network.h"
#include "handgrad/train/metrics.h"

namespace handgrad {

// Told of each batch, when it is done, how many images it had. What it throws ends the evaluation.
using EvaluationProgress = std::function<void(std::int64_t images)>;

class Evaluator {
 public:
  // Network and examples must outlive the evaluator.
  Evaluator(Network& network, const Examples& examples);

  // Of each network, with the running statistics where there is batch norm. Where they are not to be
  // used, the whole set is one batch, whose statistics are. Processes share the batches out, to the same
  // bits.
  std::vector<LossAndAccuracy> evaluate(const EvaluationProgress& progress = {});

  // Shows what a batch left in its workspace, and its targets [N,1,C] or [N,R,C].
  using Look = std::function<void(Workspace& workspace, const Tensor& targets)>;

  // Puts all images through the networks, batch by batch.
  void pass(const Look& look);

 private:
  std::int64_t batches() const;
  void pass(std::int64_t batch, const Look& look);

  Network& network_;
  const Examples& examples_;
  std::int64_t batch_size_;
  std::optional<Workspace> workspace_, last_workspace_;
  // Of one batch. With lanes the pixels and targets are gathered anew for each.
  Tensor images_, pixels_, targets_;
  bool images_are_whole_set_ = false;  // and need not be made again
};

// The same, once.
std::vector<LossAndAccuracy> evaluate(Network& network, const Examples& examples,
                                      const EvaluationProgress& progress = {});

}  // namespace handgrad
