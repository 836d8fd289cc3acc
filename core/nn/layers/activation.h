// Activations, elementwise.
#pragma once

#include "handgrad/nn/architecture.h"
#include "handgrad/nn/layers/layer.h"

namespace handgrad {

// The pair of ops.h that belongs to the activation. y may be x, and dx dy.
void activation_forward(Activation activation, Tensor& y, const Tensor& x);
void activation_backward(Activation activation, Tensor& dx, const Tensor& dy, const Tensor& y);

class ActivationLayer : public Layer {
 public:
  // Changes the output of the layer below in place, and its gradient: neither linear nor batch norm needs its
  // own output to go back.
  ActivationLayer(Activation activation, const Layer& below)
      : Layer(below.y, below.dy), activation_(activation) {}

  void forward(Use /*use*/) override { activation_forward(activation_, y, y); }
  void backward() override { activation_backward(activation_, dy, dy, y); }

 private:
  Activation activation_;
};

}  // namespace handgrad
