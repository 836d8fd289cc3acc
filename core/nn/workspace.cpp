// A network's layers, bound to a batch size.
#include "handgrad/nn/workspace.h"

#include <utility>

#include "handgrad/nn/layers/activation.h"
#include "handgrad/nn/layers/batch_norm.h"
#include "handgrad/nn/network.h"
#include "handgrad/platform/threads.h"

namespace handgrad {

Workspace::Workspace(Network& network, std::int64_t batch_size, Use use, std::int64_t lanes)
    : batch_size_(batch_size) {
  if (use == Use::training) {
    dy_of_linear = at::empty({batch_size, network.parameters.biases.numel()}, network.options());
    const Tensor& all = network.parameters.weights;
    const std::int64_t parts = all.is_cuda() ? 1 : threads_for_numbers(all.numel());
    weights = all.chunk(parts);
    dweights = network.gradients.weights.chunk(parts);
  }
  for (const LayerSpec& spec : network.architecture().layers()) add_layer(network, spec, use, lanes);
  probabilities = at::empty_like(logits());
}

void Workspace::add_layer(Network& network, const LayerSpec& spec, Use use, std::int64_t lanes) {
  const auto index = static_cast<std::size_t>(spec.index);
  switch (spec.kind) {
    case LayerSpec::Kind::linear: {
      const std::int64_t replicas = network.replicas();
      const Tensor y = at::empty({batch_size_, replicas, spec.outputs}, network.options());
      Tensor dy;
      if (use == Use::training) {
        const Tensor& bias = network.parameters.bias[index];
        const std::int64_t column = bias.storage_offset() - network.parameters.biases.storage_offset();
        dy = dy_of_linear.narrow(1, column, bias.numel()).unflatten(1, {replicas, spec.outputs});
      }
      Linear::Tensors tensors;
      tensors.weight = network.parameters.weight[index];
      tensors.dweight = network.gradients.weight[index];
      tensors.bias = network.parameters.bias[index];
      const Layer* below = layers_.empty() ? nullptr : layers_.back().get();
      auto layer = std::make_unique<Linear>(y, dy, tensors, below, lanes);
      if (below == nullptr) first_ = layer.get();
      linear_outputs_.push_back(layer->y);
      layers_.push_back(std::move(layer));
      break;
    }
    case LayerSpec::Kind::activation:
      layers_.push_back(std::make_unique<ActivationLayer>(spec.activation, *layers_.back()));
      break;
    case LayerSpec::Kind::batch_norm: {
      BatchNorm::Tensors tensors;
      tensors.gamma = network.parameters.gamma[index];
      tensors.beta = network.parameters.beta[index];
      tensors.dgamma = network.gradients.gamma[index];
      tensors.dbeta = network.gradients.beta[index];
      tensors.running_mean = network.running.mean[index];
      tensors.running_var = network.running.var[index];
      layers_.push_back(
          std::make_unique<BatchNorm>(*layers_.back(), tensors, network.network_options().batch_norm, use));
      break;
    }
  }
}

}  // namespace handgrad
