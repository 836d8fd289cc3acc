// The oracle of the gradient checks: one network written a second time with PyTorch's functional operations
// and differentiated by autograd. It shares no code with the forward pass that it checks, and nothing else
// uses it.
#pragma once

#include <cstdint>
#include <vector>

#include "parameters.h"

namespace handgrad {

class ReferenceNetwork {
 public:
  // How batch norm's mean and variance enter the derivative. `constant` is not the gradient: it is the size
  // of the terms whose difference the gradient is, the scale of rounding errors where they cancel.
  enum class Statistics { differentiated, constant };

  // A copy of network `replica`, in float64.
  ReferenceNetwork(const Parameters& parameters, int64_t replica);

  // x [N,inputs] → logits [N,classes], batch norm in training mode.
  Tensor logits(const Tensor& x, Statistics statistics = Statistics::differentiated) const;

  // Cross entropy plus (λ/2m) Σ‖W‖²; x [N,inputs], labels [N] int64, m = N.
  Tensor loss(const Tensor& x, const Tensor& labels, double l2,
              Statistics statistics = Statistics::differentiated) const;

  // ∂loss/∂tensor for each tensor, in the order of Parameters::views().
  std::vector<Tensor> gradients(const Tensor& x, const Tensor& labels, double l2,
                                Statistics statistics = Statistics::differentiated) const;

 private:
  std::vector<Tensor> weight_, bias_, gamma_, beta_;  // leaves that require gradients
};

}  // namespace handgrad
