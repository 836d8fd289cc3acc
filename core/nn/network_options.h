// What may be chosen of a network besides its architecture; the defaults are PyTorch's.
#pragma once

#include <cstdint>

namespace handgrad {

// PyTorch's defaults for BatchNorm1d.
constexpr double batch_norm_eps = 1e-5;
constexpr double batch_norm_momentum = 0.1;

struct BatchNormOptions {
  // Of which images the statistics of a training batch are: of all, or of each shard for its own (the ghost batch
  // normalisation of Hoffer, Hubara and Soudry, 2017; what torch.nn.parallel does without SyncBatchNorm).
  enum class Statistics { batch, shard };

  double eps = batch_norm_eps;
  Statistics statistics = Statistics::batch;
  bool backward = true;                       // false: gradients pass it by, and γ and β keep their values
  bool evaluate_with_running_average = true;  // false: with the statistics of the evaluated set
};

// The probabilities with which training sets inputs and the outputs of hidden layers to 0.
struct DropoutOptions {
  double input = 0;
  double hidden = 0;
};

struct NetworkOptions {
  // Which number of units the variance of the initial weights, 2 / fan, is taken from.
  enum class Fan { in, out };

  Fan initial_fan = Fan::in;
  BatchNormOptions batch_norm;
  DropoutOptions dropout;
  std::int64_t shards = 1;  // in which a batch is computed (shards.h)
  // Whether the loss that is reported is the logarithm of probabilities that are clamped to [1e-15, 1 −
  // 1e-15]; else it is taken of the logits. The gradients are the same.
  bool clamp_probabilities = false;

  bool normalises_shards() const {
    return shards > 1 && batch_norm.statistics == BatchNormOptions::Statistics::shard;
  }
};

}  // namespace handgrad
