// Loss and accuracy of networks on a set of images, as often as wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dataset.h"
#include "metrics.h"
#include "network.h"

namespace handgrad {

// Images that are evaluated at once.
constexpr std::int64_t evaluation_batch_size = 1000;

class Evaluator {
 public:
  // Network and examples must outlive the evaluator.
  Evaluator(Network& network, const Examples& examples);

  // Of each network, with the running statistics where there is batch norm. With bn_batch_stats the whole set
  // is one batch, whose statistics are used.
  std::vector<LossAndAccuracy> evaluate();

 private:
  Network& network_;
  const Examples& examples_;
  std::int64_t batch_size_;
  std::optional<Workspace> workspace_, last_workspace_;
  // Of one batch. With lanes the pixels and targets are gathered anew for each.
  Tensor images_, pixels_, targets_;
  bool images_are_whole_set_ = false;  // and need not be made again
};

// The same, once.
std::vector<LossAndAccuracy> evaluate(Network& network, const Examples& examples);

}  // namespace handgrad
