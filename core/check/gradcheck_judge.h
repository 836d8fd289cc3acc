// How a gradient is judged: what all gradient checks share.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "handgrad/check/finite_differences.h"
#include "handgrad/check/gradcheck.h"

namespace handgrad {

// A gradient that is claimed to be that of a function, and what autograd says of it.
struct Claim {
  std::string pair, tensor;
  Tensor input;           // float64 on the CPU; finite differences move it and set it back
  Tensor gradient;        // claimed ∂/∂input of the sum of the K functions below
  Tensor expected;        // autograd's
  double size;            // norm of what has to be seen of the gradient
  double terms;           // norm of the terms that it is the sum of: what rounding errors are proportional to
  bool vanishes = false;  // it is 0 but for rounding, which has no direction
};

double norm_of(const Tensor& tensor);
Tensor on_cpu_as_double(const Tensor& tensor);

class Judge {
 public:
  explicit Judge(const GradcheckOptions& options);

  const GradcheckOptions& options() const { return options_; }
  const GradientReport& report() const { return report_; }

  // Standard normal, float64.
  Tensor random(at::IntArrayRef shape);
  // The same as the checked dtype rounds it, so that checked function and references see the same.
  Tensor random_input(at::IntArrayRef shape);
  Tensor random_labels();                           // [batch_size]
  Tensor one_hot_rows(const Tensor& labels) const;  // [N,1,C]

  // In the checked dtype, on the checked device. An output holds NaN, so that an element that stays unwritten
  // is found out.
  Tensor checked(const Tensor& value) const;
  Tensor output(const Tensor& like) const;

  // Against autograd, and along random directions and single elements against finite differences. Where K is
  // not 1, the leading axis of the input is that of the K functions.
  void judge(const Claim& claim, const Differentiable& function);

  // That ‖difference‖ is 0. It is compared with `size`, and not held for wrong where it is no more than the
  // rounding of `terms`.
  void judge_zero(const std::string& pair, const std::string& what, at::IntArrayRef shape, double difference,
                  double size, double terms);

 private:
  // What finite differences found about a claim: the largest error, the largest bound.
  struct Measured {
    double error = 0, bound = 0;
    std::int64_t points = 0, skipped = 0;
  };

  Measured measure(const Claim& claim, const Tensor& gradient, const Differentiable& function, double wanted);

  const GradcheckOptions& options_;
  at::Generator generator_;
  double rounding_;  // relative, of sums of terms in the checked dtype
  GradientReport report_;
};

// Every pair by itself, with random inputs and random upstream gradients.
void check_operations(Judge& judge);

}  // namespace handgrad
