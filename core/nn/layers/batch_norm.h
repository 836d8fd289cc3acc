// Batch normalisation.
#pragma once

#include "handgrad/nn/layers/layer.h"
#include "handgrad/nn/network_options.h"
#include "handgrad/nn/shards.h"

namespace handgrad {

class BatchNorm : public Layer {
 public:
  // Views of one layer into the buffers of the network, [R,F].
  struct Tensors {
    Tensor gamma, beta;
    Tensor dgamma, dbeta;
    Tensor running_mean, running_var;
  };

  BatchNorm(const Layer& below, const Tensors& tensors, const BatchNormOptions& options, Use use,
            const BatchPart& batch);

  // In training with the statistics of the batch, which go into the running ones.
  void forward(Use use) override;
  void backward() override;

 private:
  Tensor x_, dx_;  // [N,R,F]
  Tensors tensors_;
  BatchNormOptions options_;
  BatchSum sum_;
  Tensor x_hat_;  // [N,R,F]; undefined where no batch's own statistics are used, as are:
  Tensor mean_, variance_, inverse_std_;  // [R,F]
};

}  // namespace handgrad
