// A layer of a network, bound to a batch size: forward and backward side by side, over tensors that are
// allocated and sliced once, so that a step allocates nothing.
#pragma once

#include <utility>

#include "handgrad/nn/ops.h"

namespace handgrad {

// Evaluation needs no gradients.
enum class Use { training, evaluation };

class Layer {
 public:
  Layer(Tensor y, Tensor dy) : y(std::move(y)), dy(std::move(dy)) {}
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
  virtual ~Layer() = default;

  // x → y.
  virtual void forward(Use use) = 0;
  // dy → dx, and the gradients of the layer's parameters; after forward in training.
  virtual void backward() = 0;

  // [N,R,F]: the output, which is the input x of the next layer, and its gradient, undefined in evaluation.
  Tensor y, dy;
};

}  // namespace handgrad
