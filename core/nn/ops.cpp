// The operations of the network, forward and backward side by side.
#include "handgrad/nn/ops.h"

#include <ATen/TensorOperators.h>

#include "handgrad/base/errors.h"
#include "handgrad/platform/elementwise.h"
#include "handgrad/platform/products.h"

namespace handgrad {

void linear_forward(Tensor& y, const Tensor& x, const Matrix& weight) {
  multiply(y, x, weight.t);
}

void linear_backward(Tensor* dx, Tensor* dweight, const Matrix& dy, const Tensor& x, const Matrix& weight) {
  if (dweight != nullptr) multiply(*dweight, dy.t, x);
  if (dx != nullptr) multiply(*dx, dy.m, weight.m);
}

void bias_forward(Tensor& y, const Tensor& bias) {
  add_to_rows(y, bias);
}

void bias_backward(Tensor& dbias, const Tensor& dy) {
  add_rows(dbias, dy);
}

void relu_forward(Tensor& y, const Tensor& x) {
  clamp_min(y, x, 0);
}

void relu_backward(Tensor& dx, const Tensor& dy, const Tensor& y) {
  threshold_backward(dx, dy, y, 0);
}

void leaky_relu_forward(Tensor& y, const Tensor& x) {
  at::leaky_relu_out(y, x, leaky_relu_slope);
}

void leaky_relu_backward(Tensor& dx, const Tensor& dy, const Tensor& y) {
  at::leaky_relu_backward_out(dx, dy, y, leaky_relu_slope, /*self_is_result=*/true);
}

void tanh_forward(Tensor& y, const Tensor& x) {
  at::tanh_out(y, x);
}

void tanh_backward(Tensor& dx, const Tensor& dy, const Tensor& y) {
  at::tanh_backward_out(dx, dy, y);
}

void batch_norm_forward(Tensor& y, Tensor& x_hat, Tensor& mean, Tensor& variance, Tensor& inverse_std,
                        const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                        const BatchSum& sum) {
  const std::int64_t batch_size = sum.batch_size(x);
  if (batch_size < 2) {
    throw ArgumentError(
        "batch norm needs at least 2 images in a training batch, got 1: one image has no spread to normalise "
        "by; choose another batch size");
  }
  const double inverse_n = 1.0 / static_cast<double>(batch_size);
  sum(mean, x, inverse_n);
  add(x_hat, x, mean, -1);
  mul(y, x_hat, x_hat);
  sum(variance, y, inverse_n);
  rsqrt(inverse_std, variance, eps);
  mul(x_hat, x_hat, inverse_std);
  addcmul(y, beta, x_hat, gamma);
}

void batch_norm_backward(Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x_hat,
                         const Tensor& inverse_std, const Tensor& gamma, const BatchSum& sum) {
  const double inverse_n = 1.0 / static_cast<double>(sum.batch_size(dy));
  sum(dbeta, dy);
  mul(dx, dy, x_hat);
  sum(dgamma, dx);
  addcmul(dx, dy, x_hat, dgamma, -inverse_n);
  add(dx, dx, dbeta, -inverse_n);
  mul(dx, dx, inverse_std);
  mul(dx, dx, gamma);
}

void batch_norm_update_running(Tensor& running, const Tensor& batch, double momentum) {
  running.lerp_(batch, momentum);
}

void batch_norm_evaluate(Tensor& y, const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                         const Tensor& gamma, const Tensor& beta, double eps) {
  const Tensor scale = gamma * (running_var + eps).rsqrt();
  at::sub_out(y, x, running_mean).mul_(scale).add_(beta);
}

void dropout_forward(Tensor& y, const Tensor& x, const Tensor& mask) {
  mul(y, x, mask);
}

void dropout_backward(Tensor& dx, const Tensor& dy, const Tensor& mask) {
  mul(dx, dy, mask);
}

void smooth_labels(Tensor& targets, double smoothing) {
  targets.mul_(1 - smoothing).add_(smoothing / static_cast<double>(targets.size(-1)));
}

void softmax_cross_entropy_forward(Tensor* loss, Tensor& probabilities, const Tensor& logits,
                                   const Tensor& targets, const BatchSum& sum) {
  if (loss != nullptr) {
    Tensor& log_probabilities = probabilities;  // for now
    at::_log_softmax_out(log_probabilities, logits, -1, false);
    // A one-hot sum picks one term; where() keeps 0 · (−∞) out of it.
    const Tensor picked = at::where(targets > 0, targets * log_probabilities, 0.0);
    sum(*loss, picked.sum(-1), -1.0 / static_cast<double>(sum.batch_size(logits)));
  }
  softmax(probabilities, logits);
}

void softmax_cross_entropy_backward(Tensor& dlogits, const Tensor& probabilities, const Tensor& targets,
                                    std::int64_t batch_size) {
  const double inverse_n = 1.0 / static_cast<double>(batch_size);
  add(dlogits, probabilities, targets, -1);
  scale(dlogits, dlogits, inverse_n);
}

void l2_penalty_forward(Tensor& penalty, at::TensorList weights, const Tensor& l2, std::int64_t batch_size) {
  penalty.zero_();
  for (const Tensor& weight : weights) penalty.add_(weight.square().sum({1, 2}));
  penalty.mul_(l2).mul_(0.5 / static_cast<double>(batch_size));
}

void l2_penalty_backward(Tensor& dweight, const Tensor& weight, double l2, std::int64_t batch_size) {
  add(dweight, dweight, weight, l2 / static_cast<double>(batch_size));
}

void l2_penalty_backward(Tensor& dweight, const Tensor& weight, const Tensor& l2, std::int64_t batch_size) {
  dweight.addcmul_(weight, l2, 1.0 / static_cast<double>(batch_size));
}

void clip_gradient_norm(at::TensorList gradients, double most) {
  constexpr double eps = 1e-6;
  std::vector<Tensor> norms;
  for (const Tensor& gradient : gradients) {
    norms.push_back(at::linalg_vector_norm(gradient.flatten(1), 2, at::IntArrayRef{1}));
  }
  const Tensor norm = at::linalg_vector_norm(at::stack(norms), 2, at::IntArrayRef{0});
  const Tensor factor = (norm + eps).reciprocal_().mul_(most).clamp_max_(1);
  for (const Tensor& gradient : gradients) gradient.flatten(1).mul_(factor.unsqueeze(1));
}

}  // namespace handgrad
