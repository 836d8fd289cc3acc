// The gradient certificate: every hand-written gradient, pair by pair and of the whole network, against
// autograd over an independent forward pass and against finite differences.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/nn/layers/activation.h"
#include "handgrad/nn/network.h"

namespace handgrad {

// What is checked. Tests put faulty functions in the place of the library's, to see that the check finds
// them.
struct GradcheckSubject {
  using Gradients =
      std::function<void(Network&, Workspace&, const Tensor& x, const Tensor& targets, const L2&)>;

  decltype(&handgrad::linear_backward) linear_backward = &handgrad::linear_backward;
  decltype(&handgrad::bias_backward) bias_backward = &handgrad::bias_backward;
  decltype(&handgrad::activation_backward) activation_backward = &handgrad::activation_backward;
  decltype(&handgrad::batch_norm_backward) batch_norm_backward = &handgrad::batch_norm_backward;
  decltype(&handgrad::dropout_backward) dropout_backward = &handgrad::dropout_backward;
  decltype(&handgrad::clip_gradient_norm) clip_gradient_norm = &handgrad::clip_gradient_norm;
  decltype(&handgrad::softmax_cross_entropy_backward) softmax_cross_entropy_backward =
      &handgrad::softmax_cross_entropy_backward;
  void (*l2_penalty_backward)(Tensor&, const Tensor&, const Tensor&,
                              std::int64_t) = &handgrad::l2_penalty_backward;
  Gradients network_gradients = [](Network& network, Workspace& workspace, const Tensor& x,
                                   const Tensor& targets,
                                   const L2& l2) { network.forward_backward(workspace, x, targets, l2); };
};

struct GradcheckOptions {
  Architecture architecture;
  std::int64_t replicas = 1;
  std::int64_t batch_size = 32;
  double l2 = 0.01;
  NetworkOptions network;  // its dropout with the masks of the first step
  double label_smoothing = 0;
  std::optional<double> clip;
  std::uint64_t seed = 1;
  at::ScalarType dtype = at::kDouble;  // of the gradients that are checked; the references are float64
  at::Device device = at::kCPU;
  bool against_cpu = false;  // whether the network's gradients are compared with those of our own on the CPU
  // A batch of real data: [batch_size, inputs] in [0, 1] and [batch_size] int64. Undefined: random ones.
  Tensor images, labels;
  GradcheckSubject subject;
};

// `undecided`: nothing wrong was seen, but a fault could not be told from rounding, because the gradient is
// tiny beside the terms that cancel in it, or stands on a kink.
enum class Verdict { passed, failed, undecided };

// One gradient, or one invariant of it.
struct GradientCheck {
  std::string pair;                 // "linear 784 → 20", "network, 32 images", …
  std::string tensor;               // "dweight", "layer 1 weight", …
  std::vector<std::int64_t> shape;  // of the tensor, all networks together
  // ‖difference‖ over the norm of the gradient without the penalty; where the gradient vanishes beside its
  // terms, over their norm. Empty where there is no such reference.
  std::optional<double> autograd_error;
  // The largest error along a random direction or in an element, over the root mean square of the gradient.
  std::optional<double> finite_difference_error;
  // Of the angle between the gradient and autograd's; empty where both are 0 but for rounding.
  std::optional<double> cosine;
  double autograd_tolerance = 0;
  double finite_difference_tolerance = 0;
  // Slopes of finite differences, and those left out because every step would have crossed an activation's
  // kink.
  std::int64_t points = 0;
  std::int64_t skipped = 0;
  // Whether a fault of 0.1 % of the gradient would be seen; found out without looking at the checked
  // gradient.
  bool decidable = true;

  // Failed without evidence, too: no error that was measured, or one that is NaN.
  Verdict verdict() const;
};

struct GradientReport {
  std::vector<GradientCheck> checks;

  std::int64_t points() const;
  std::int64_t skipped() const;
  std::int64_t count(Verdict verdict) const;
  // Whether something was proven and nothing failed.
  bool passed() const;
};

// About how many bytes the tensors of a check hold together at most; no fewer than they do.
std::int64_t gradcheck_bytes(const GradcheckOptions& options);

// Throws DeviceError, saying what would fit, where a check needs more memory than so many free bytes.
void require_memory(const GradcheckOptions& options, std::int64_t free_bytes);

// Checks the pairs at the shapes that the network uses, the whole network at the batch size and at a ragged
// one, and the invariants of batch norm. Throws ArgumentError for an architecture or batch that cannot be.
GradientReport gradcheck(const GradcheckOptions& options);

}  // namespace handgrad
