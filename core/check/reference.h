// The oracle of the gradient checks: one network written a second time with PyTorch's functional operations
// and differentiated by autograd. It shares no code with the forward pass that it checks, and nothing else
// uses it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "handgrad/nn/network.h"

namespace handgrad {

// The activation, as PyTorch has it.
Tensor reference_activation(Activation activation, const Tensor& x);

// On which side of its kink the activation is, by its output: no derivative is to be measured across. Empty
// where it has none.
Tensor side_of_kink(Activation activation, const Tensor& y);

// Whether the activation of a x is a times that of x, for a > 0.
bool is_homogeneous(Activation activation);

// What training adds to a network. masks: of each linear layer's input [N,F], held; undefined, or none at all,
// where nothing is dropped.
struct Regularisation {
  std::vector<Tensor> masks;
  double label_smoothing = 0;
  std::int64_t normalised_parts = 1;  // of the batch, each of which batch norm normalises by itself
};

class ReferenceNetwork {
 public:
  // A copy of network `replica`, in float64; eps is batch norm's ε.
  ReferenceNetwork(const Architecture& architecture, const Parameters& parameters, std::int64_t replica,
                   double eps = batch_norm_eps, Regularisation regularisation = {});

  // x [N,inputs] → logits [N,classes], batch norm in training mode.
  Tensor logits(const Tensor& x) const;

  // Cross entropy plus (λ/2m) Σ‖W‖²; x [N,inputs], labels [N] int64, m = N.
  Tensor loss(const Tensor& x, const Tensor& labels, double l2) const;

  // ∂loss/∂tensor for each tensor, in the order of Parameters::views().
  std::vector<Tensor> gradients(const Tensor& x, const Tensor& labels, double l2) const;

  // The size of each gradient's rounding errors: the norm of its change, over `unit`, when every operation
  // and every gradient on the way back is off by a random relative error of about `unit`. At least about the
  // norm of the gradient, and far above it where terms cancel. The same seed, the same numbers.
  std::vector<double> rounding(const Tensor& x, const Tensor& labels, double l2, double unit,
                               std::uint64_t seed) const;

 private:
  using Shake = std::function<Tensor(const Tensor&)>;

  Tensor input_of(std::size_t linear, const Tensor& features) const;
  Tensor part_by_part(const Tensor& features, const std::function<Tensor(const Tensor&)>& normalise) const;
  Tensor shaken_loss(const Tensor& x, const Tensor& targets, double l2, const Shake& shake) const;
  std::vector<Tensor> leaves() const;

  std::vector<LayerSpec> layers_;
  std::vector<Tensor> weight_, bias_, gamma_, beta_;  // leaves that require gradients
  double eps_;
  Regularisation regularisation_;
};

}  // namespace handgrad
