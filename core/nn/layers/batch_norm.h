// Batch normalisation.
#pragma once

#include <vector>

#include "handgrad/nn/layers/layer.h"
#include "handgrad/nn/network_options.h"
#include "handgrad/nn/shards.h"

namespace handgrad {

class BatchNorm : public Layer {
 public:
  // Of a batch, or of a shard.
  struct OfBatch {
    Tensor dgamma, dbeta;
    Tensor mean, variance;
  };

  // Views of one layer into the buffers of the network, [R,F].
  struct Tensors {
    Tensor gamma, beta;
    Tensor running_mean, running_var;
    bool of_shards = false;         // whether each shard of this process has its own
    std::vector<OfBatch> of_batch;  // these, or that of all of it
  };

  BatchNorm(const Layer& below, const Tensors& tensors, const BatchNormOptions& options, Use use,
            const BatchPart& batch);

  // In training with the statistics of the batch, which it writes down.
  void forward(Use use) override;
  void backward() override;

 private:
  // What is normalised by itself: the batch, or a shard.
  struct Part {
    OfBatch of;
    Tensor inverse_std;          // [R,F]
    Tensor y, x, dx, dy, x_hat;  // [N,R,F]
  };

  Tensor x_;  // [N,R,F]
  Tensor gamma_, beta_, running_mean_, running_var_;
  BatchNormOptions options_;
  BatchSum sum_;             // of a part
  std::vector<Part> parts_;  // none where no batch's own statistics are used
};

}  // namespace handgrad
