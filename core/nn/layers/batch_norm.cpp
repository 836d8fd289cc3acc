// Batch normalisation.
#include "handgrad/nn/layers/batch_norm.h"

namespace handgrad {

BatchNorm::BatchNorm(const Layer& below, const Tensors& tensors, const BatchNormOptions& options, Use use,
                     const BatchPart& batch)
    : Layer(at::empty_like(below.y), use == Use::training ? at::empty_like(below.y) : Tensor()),
      x_(below.y),
      gamma_(tensors.gamma),
      beta_(tensors.beta),
      running_mean_(tensors.running_mean),
      running_var_(tensors.running_var),
      options_(options) {
  if (use == Use::evaluation && options.evaluate_with_running_average) return;
  if (!tensors.of_shards) sum_ = BatchSum(batch, gamma_);
  const Tensor x_hat = at::empty_like(y);
  for (std::size_t v = 0; v < tensors.of_batch.size(); ++v) {
    Part part;
    part.of = tensors.of_batch[v];
    part.inverse_std = at::empty_like(gamma_);
    part.y = y;
    part.x = x_;
    part.dx = below.dy;
    part.dy = dy;
    part.x_hat = x_hat;
    for (Tensor* tensor : {&part.y, &part.x, &part.dx, &part.dy, &part.x_hat}) {
      if (tensors.of_shards && tensor->defined()) *tensor = batch.shards[v].of(*tensor);
    }
    parts_.push_back(part);
  }
}

void BatchNorm::forward(Use use) {
  if (use == Use::evaluation && options_.evaluate_with_running_average) {
    batch_norm_evaluate(y, x_, running_mean_, running_var_, gamma_, beta_, options_.eps);
    return;
  }
  for (Part& part : parts_) {
    batch_norm_forward(part.y, part.x_hat, part.of.mean, part.of.variance, part.inverse_std, part.x, gamma_,
                       beta_, options_.eps, sum_);
  }
}

void BatchNorm::backward() {
  for (Part& part : parts_) {
    if (options_.backward) {
      batch_norm_backward(part.dx, part.of.dgamma, part.of.dbeta, part.dy, part.x_hat, part.inverse_std,
                          gamma_, sum_);
    } else {
      part.dx.copy_(part.dy);
      part.of.dgamma.zero_();
      part.of.dbeta.zero_();
    }
  }
}

}  // namespace handgrad
