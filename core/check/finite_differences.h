// Slopes along straight lines by finite differences, each with a bound of its error that the function alone
// gives. nn/GRADIENTS.md derives the bound.
#pragma once

#include <functional>
#include <optional>

#include "handgrad/base/tensor.h"

namespace handgrad {

// K functions of a tensor that is moved in place: number k is Σ_t weights_tk y_tk. Their terms are apart, so
// that nothing is summed before it is differenced.
struct Differentiable {
  struct Value {
    Tensor y;      // [T,K], float64
    Tensor sides;  // bool, on which side of each kink the functions stand; undefined where there are no kinks
  };

  std::function<Value()> evaluate;  // at where the tensor stands now
  Tensor weights;                   // [T,K]
};

// Of K functions, [K] each: the slopes, and what they may be off by.
struct Slopes {
  Tensor value, bound;
};

class FiniteDifferences {
 public:
  // `input` is moved, and set back after each slope. Steps get shorter until every bound is at most `wanted`.
  FiniteDifferences(const Tensor& input, Differentiable function, double wanted);

  // Along `direction`, of the input's shape. Empty where every step crosses a kink or meets a number that is
  // not finite.
  std::optional<Slopes> along(const Tensor& direction);

 private:
  std::optional<Tensor> central_difference(const Tensor& direction, double step);

  Tensor input_, start_;
  Differentiable function_;
  Tensor sides_;     // at the start
  Tensor rounding_;  // [K], of the functions there at least
  double wanted_;
  int first_halving_;  // of the step to begin with
};

}  // namespace handgrad
