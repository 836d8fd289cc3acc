// Activations.
#include "handgrad/nn/layers/activation.h"

namespace handgrad {

void activation_forward(Activation activation, Tensor& y, const Tensor& x) {
  switch (activation) {
    case Activation::relu:
      return relu_forward(y, x);
    case Activation::leaky_relu:
      return leaky_relu_forward(y, x);
    case Activation::tanh:
      return tanh_forward(y, x);
  }
}

void activation_backward(Activation activation, Tensor& dx, const Tensor& dy, const Tensor& y) {
  switch (activation) {
    case Activation::relu:
      return relu_backward(dx, dy, y);
    case Activation::leaky_relu:
      return leaky_relu_backward(dx, dy, y);
    case Activation::tanh:
      return tanh_backward(dx, dy, y);
  }
}

}  // namespace handgrad
