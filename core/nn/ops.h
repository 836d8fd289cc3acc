// The operations of the network, each as a forward / backward pair: outputs first, the equation above, what
// the backward pass needs handed over by name, nothing hidden and nothing accumulated. dname is ∂loss/∂name.
//
// Shapes: N images in the batch, R networks side by side, F features of a layer, C classes. Only `linear`
// mixes axes; all else treats the R networks as so many independent columns. Every output is allocated by the
// caller with its final shape, so that a training step allocates no storage. Any floating dtype, any device.
// Derivations stand in GRADIENTS.md.
#pragma once

#include "handgrad/base/tensor.h"
#include "handgrad/nn/shards.h"

namespace handgrad {

// A matrix and its transpose, a view that is made once: making one costs a third of a small product.
struct Matrix {
  Matrix() = default;
  Matrix(const Tensor& matrix) : m(matrix), t(matrix.transpose(-2, -1)) {}  // NOLINT: meant to convert

  Tensor m, t;
};

// y = x Wᵀ                                    (torch.nn.Linear without its bias)
// x [N,in], weight [out,in], y [N,out]; or all with a leading axis [R] for R products at once.
// Networks that share x are one wide layer: weight [R·out,in], y [N,R·out].
void linear_forward(Tensor& y, const Tensor& x, const Matrix& weight);

// dW = dyᵀ x,  dx = dy W                      (either is nullptr where nobody asks: dx of the first layer)
void linear_backward(Tensor* dx, Tensor* dweight, const Matrix& dy, const Tensor& x, const Matrix& weight);

// y_n += b, for every image n                 (torch.nn.Linear's bias)
// y [N,…], bias […], of the same trailing shape: one network, or all at once.
void bias_forward(Tensor& y, const Tensor& bias);

// db = Σ_n dy_n
void bias_backward(Tensor& dbias, const Tensor& dy);

// y = max(x, 0)                               (torch.nn.ReLU; NaN stays NaN)
// Elementwise; y may be x.
void relu_forward(Tensor& y, const Tensor& x);

// dx = dy where y > 0, else 0                 (the subgradient at 0 is 0, as in PyTorch)
// dx may be dy.
void relu_backward(Tensor& dx, const Tensor& dy, const Tensor& y);

// y = x where x > 0, else s x, with s = 0.01  (torch.nn.LeakyReLU and its default; Maas et al., 2013)
// Elementwise; y may be x.
constexpr double leaky_relu_slope = 0.01;
void leaky_relu_forward(Tensor& y, const Tensor& x);

// dx = dy where y > 0, else s dy              (the derivative at 0 is s, as in PyTorch)
// dx may be dy.
void leaky_relu_backward(Tensor& dx, const Tensor& dy, const Tensor& y);

// y = tanh x                                  (torch.nn.Tanh)
// Elementwise; y may be x.
void tanh_forward(Tensor& y, const Tensor& x);

// dx = (1 − y²) dy
// dx may be dy.
void tanh_backward(Tensor& dx, const Tensor& dy, const Tensor& y);

// Batch normalisation of each feature over the batch (Ioffe and Szegedy, 2015, algorithm 1;
// torch.nn.BatchNorm1d):
//   μ = (1/N) Σ_n x_n,   v = (1/N) Σ_n (x_n − μ)²,   x̂ = (x − μ) / √(v + ε),   y = γ x̂ + β
// x, x_hat, y [N,R,F] (y must not be x); mean, variance, inverse_std, gamma, beta [R,F].
// variance is the biased v; inverse_std = 1/√(v + ε); `sum` is Σ_n. Throws ArgumentError for N = 1, where x̂ is 0
// whatever x is.
void batch_norm_forward(Tensor& y, Tensor& x_hat, Tensor& mean, Tensor& variance, Tensor& inverse_std,
                        const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                        const BatchSum& sum = {});

// dβ = Σ_n dy_n,  dγ = Σ_n dy_n x̂_n,  dx = (γ / √(v + ε)) (dy − dβ/N − x̂ dγ/N)
// dx must be neither dy nor x_hat.
void batch_norm_backward(Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x_hat,
                         const Tensor& inverse_std, const Tensor& gamma, const BatchSum& sum = {});

// The running statistics that evaluation uses (torch.nn.BatchNorm1d):
//   running ← (1 − momentum) running + momentum batch
// batch: means, and unbiased variances v N / (N − 1). No gradient flows through them. Of one shape.
void batch_norm_update_running(Tensor& running, const Tensor& batch, double momentum);

// y = γ (x − running_mean) / √(running_var + ε) + β, the form used outside training; y may be x.
void batch_norm_evaluate(Tensor& y, const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                         const Tensor& gamma, const Tensor& beta, double eps);

// Dropout (Srivastava et al., 2014; inverted, as torch.nn.Dropout): y = m x, with m = 0 with probability p, else
// 1 / (1 − p). m [N,R,F] is a function of p, the keys [R], int64, and the place alone: number i = n F + f of
// network r is QuickRandom::bits_at(key r, i), whose upper 32 bits drop it where they are below 2³² p.
// m on a CPU in float32 or float64; elsewhere by operations of LibTorch, which allocate. first_image: n of the
// first image, where these are a part of a batch.
void dropout_mask(Tensor& mask, const Tensor& keys, double p, std::int64_t first_image = 0);
void dropout_mask_by_operations(Tensor& mask, const Tensor& keys, double p, std::int64_t first_image = 0);

// y = m x                                     (elementwise; y may be x)
void dropout_forward(Tensor& y, const Tensor& x, const Tensor& mask);

// dx = m dy
// dx may be dy.
void dropout_backward(Tensor& dx, const Tensor& dy, const Tensor& mask);

// targets ← (1 − s) targets + s / C           (Szegedy et al., 2016, section 7; the label_smoothing of
//                                              torch.nn.CrossEntropyLoss)
// targets […,C], one-hot; the rows still sum to 1, which the cross entropy below needs.
void smooth_labels(Tensor& targets, double smoothing);

// Cross entropy of a softmax, by log-sum-exp on the logits (torch.nn.CrossEntropyLoss):
//   log p = logits − log Σ_c exp(logits_c),   loss = −(1/N) Σ_n Σ_c targets_nc log p_nc
// logits, probabilities p [N,R,C]; targets [N,1,C] or [N,R,C], one-hot or smoothed; loss [R] (nullptr where nobody asks).
// probabilities must not be logits; `sum` is Σ_n.
void softmax_cross_entropy_forward(Tensor* loss, Tensor& probabilities, const Tensor& logits,
                                   const Tensor& targets, const BatchSum& sum = {});

// dlogits = (p − targets) / N: the only place where 1/N appears. N is batch_size, of which a process may have
// but a part.
void softmax_cross_entropy_backward(Tensor& dlogits, const Tensor& probabilities, const Tensor& targets,
                                    std::int64_t batch_size);

// penalty = (λ / 2m) Σ W², m the batch size, over the weights of each network, not the biases.
// weights: the [R,out,in] weights of all layers; penalty [R]; l2 holds λ, one value per network [R].
void l2_penalty_forward(Tensor& penalty, at::TensorList weights, const Tensor& l2, std::int64_t batch_size);

// dW += (λ / m) W, on top of the data loss: the one pair that adds to what is there, being a term of a sum.
// weight, dweight: any shape; l2: a value for all, or a tensor that broadcasts against weight.
void l2_penalty_backward(Tensor& dweight, const Tensor& weight, double l2, std::int64_t batch_size);
void l2_penalty_backward(Tensor& dweight, const Tensor& weight, const Tensor& l2, std::int64_t batch_size);

// g ← g min(1, c / (‖g‖ + 10⁻⁶)), ‖g‖ over all gradients of a network (Pascanu et al., 2013, algorithm 1;
// torch.nn.utils.clip_grad_norm_). gradients: [R,…] each. What is not finite stays so. Allocates.
void clip_gradient_norm(at::TensorList gradients, double most);

}  // namespace handgrad
