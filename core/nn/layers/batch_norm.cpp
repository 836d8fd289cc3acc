// Batch normalisation.
#include "handgrad/nn/layers/batch_norm.h"

namespace handgrad {

BatchNorm::BatchNorm(const Layer& below, const Tensors& tensors, const BatchNormOptions& options, Use use,
                     const BatchPart& batch)
    : Layer(at::empty_like(below.y), use == Use::training ? at::empty_like(below.y) : Tensor()),
      x_(below.y),
      dx_(below.dy),
      tensors_(tensors),
      options_(options) {
  if (use == Use::evaluation && options.evaluate_with_running_average) return;
  sum_ = BatchSum(batch, tensors.gamma);
  x_hat_ = at::empty_like(y);
  mean_ = at::empty_like(tensors.gamma);
  variance_ = at::empty_like(tensors.gamma);
  inverse_std_ = at::empty_like(tensors.gamma);
}

void BatchNorm::forward(Use use) {
  if (use == Use::evaluation && options_.evaluate_with_running_average) {
    batch_norm_evaluate(y, x_, tensors_.running_mean, tensors_.running_var, tensors_.gamma, tensors_.beta,
                        options_.eps);
    return;
  }
  batch_norm_forward(y, x_hat_, mean_, variance_, inverse_std_, x_, tensors_.gamma, tensors_.beta,
                     options_.eps, sum_);
  if (use == Use::evaluation) return;
  batch_norm_update_running(tensors_.running_mean, tensors_.running_var, mean_, variance_, sum_.batch_size(y),
                            batch_norm_momentum);
}

void BatchNorm::backward() {
  if (options_.backward) {
    batch_norm_backward(dx_, tensors_.dgamma, tensors_.dbeta, dy, x_hat_, inverse_std_, tensors_.gamma, sum_);
    return;
  }
  dx_.copy_(dy);
  tensors_.dgamma.zero_();
  tensors_.dbeta.zero_();
}

}  // namespace handgrad
