// Everything that batches of one size need on their way through a network, allocated and sliced once.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "handgrad/nn/architecture.h"
#include "handgrad/nn/layers/layer.h"
#include "handgrad/nn/layers/linear.h"

namespace handgrad {

class Network;

class Workspace {
 public:
  // The network must outlive it. lanes: how many inputs the networks have, equally many networks each, in
  // order.
  Workspace(Network& network, std::int64_t batch_size, Use use, std::int64_t lanes = 1);

  std::int64_t batch_size() const { return batch_size_; }
  // Those of Architecture::layers(), in their order.
  const std::vector<std::unique_ptr<Layer>>& layers() const { return layers_; }
  Linear& first() { return *first_; }
  const Tensor& logits() const { return layers_.back()->y; }  // [N,R,C]
  // What linear layer `index`, from 0, gives out, and its activation, if that follows directly, has changed in
  // place: the input of batch norm, wherever that stands; [N,R,F].
  const Tensor& linear_output(std::int64_t index) const {
    return linear_outputs_[static_cast<std::size_t>(index)];
  }

  Tensor probabilities;  // [N,R,C]
  // [N, R·F₁ + R·F₂ + …]: dy of all linear layers, side by side as the biases are.
  Tensor dy_of_linear;
  // The parts of all weights and of their gradients that a thread each adds the L2 penalty's gradient to.
  std::vector<Tensor> weights, dweights;

 private:
  void add_layer(Network& network, const LayerSpec& spec, Use use, std::int64_t lanes);

  std::int64_t batch_size_;
  std::vector<std::unique_ptr<Layer>> layers_;
  Linear* first_ = nullptr;
  std::vector<Tensor> linear_outputs_;
};

}  // namespace handgrad
