// The gradient certificate: every hand-written gradient, pair by pair and of the whole network, against
// autograd over an independent forward pass and against finite differences.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "network.h"

namespace handgrad {

// What is checked. Tests put faulty functions in the place of the library's, to see that the check finds
// them.
struct GradcheckSubject {
  using Gradients =
      std::function<void(Network&, Workspace&, const Tensor& x, const Tensor& targets, const L2&)>;

  decltype(&handgrad::linear_backward) linear_backward = &handgrad::linear_backward;
  decltype(&handgrad::bias_backward) bias_backward = &handgrad::bias_backward;
  decltype(&handgrad::relu_backward) relu_backward = &handgrad::relu_backward;
  decltype(&handgrad::batch_norm_backward) batch_norm_backward = &handgrad::batch_norm_backward;
  decltype(&handgrad::softmax_cross_entropy_backward) softmax_cross_entropy_backward =
      &handgrad::softmax_cross_entropy_backward;
  void (*l2_penalty_backward)(Tensor&, const Tensor&, const Tensor&,
                              int64_t) = &handgrad::l2_penalty_backward;
  Gradients network_gradients = [](Network& network, Workspace& workspace, const Tensor& x,
                                   const Tensor& targets,
                                   const L2& l2) { network.forward_backward(workspace, x, targets, l2); };
};

struct GradcheckOptions {
  Architecture architecture;
  std::int64_t replicas = 1;
  std::int64_t batch_size = 32;
  double l2 = 0.01;
  Compat compat;
  std::uint64_t seed = 1;
  at::ScalarType dtype = at::kDouble;  // of the gradients that are checked; the references are float64
  at::Device device = at::kCPU;
  bool against_cpu = false;  // whether the network's gradients are compared with those of our own on the CPU
  // A batch of real data: [batch_size, inputs] in [0, 1] and [batch_size] int64. Undefined: random ones.
  Tensor images, labels;
  GradcheckSubject subject;
};

// One gradient, or one invariant of it.
struct GradientCheck {
  std::string pair;                 // "linear 784 → 20", "network, 32 images", …
  std::string tensor;               // "dweight", "layer 1 weight", …
  std::vector<std::int64_t> shape;  // of the tensor, all networks together
  // ‖difference‖ / ‖reference‖; where the true gradient nearly cancels (batch norm with fewer than 7 images),
  // over the norm of the terms that cancel. Empty where there is no such reference.
  std::optional<double> autograd_error;
  // The largest error along a random direction or in an element, over the root mean square of the gradient.
  std::optional<double> finite_difference_error;
  std::optional<double> cosine;  // of the angle between the gradient and autograd's
  double autograd_tolerance = 0;
  double finite_difference_tolerance = 0;
  // Slopes of finite differences, and those left out because a ReLU would have crossed its kink.
  std::int64_t points = 0;
  std::int64_t skipped = 0;

  // Whether there is evidence and all of it is within its tolerance. No NaN passes.
  bool passed() const;
};

struct GradientReport {
  std::vector<GradientCheck> checks;

  std::int64_t points() const;
  std::int64_t skipped() const;
  // Whether a pair, or the network at one batch size, left out more than 1 % of its points.
  bool too_many_skipped() const;
  bool passed() const;
};

// Checks the pairs at the shapes that the network uses, the whole network at the batch size and at a ragged
// one, and the invariants of batch norm. Throws ArgumentError for an architecture or batch that cannot be.
GradientReport gradcheck(const GradcheckOptions& options);

}  // namespace handgrad
