// A network's layers, bound to a batch size.
#include "handgrad/nn/workspace.h"

#include <utility>

#include "handgrad/base/random.h"
#include "handgrad/nn/layers/activation.h"
#include "handgrad/nn/layers/batch_norm.h"
#include "handgrad/nn/network.h"

namespace handgrad {

Workspace::Workspace(Network& network, std::int64_t batch_size, Use use, std::int64_t lanes)
    : batch_(batch_size, network.network_options().shards,
             use == Use::training ? network.processes() : nullptr),
      loss_sum_(batch_, at::empty({network.replicas()}, network.options())) {
  if (use == Use::training) {
    dy_of_linear = at::empty({batch_.own.images, network.parameters.biases.numel()}, network.options());
  }
  const NetworkOptions& options = network.network_options();
  if (use == Use::training || !options.batch_norm.evaluate_with_running_average) {
    batch_statistics_ = BatchStatistics(network.architecture(), network.replicas(), network.options(), batch_,
                                        use == Use::training && options.normalises_shards());
  }
  for (const LayerSpec& spec : network.architecture().layers()) add_layer(network, spec, use, lanes);
  probabilities = at::empty_like(logits());
}

void Workspace::add_layer(Network& network, const LayerSpec& spec, Use use, std::int64_t lanes) {
  const auto index = static_cast<std::size_t>(spec.index);
  switch (spec.kind) {
    case LayerSpec::Kind::linear: {
      const std::int64_t replicas = network.replicas();
      const Tensor y = at::empty({batch_.own.images, replicas, spec.outputs}, network.options());
      Tensor dy;
      if (use == Use::training) {
        const Tensor& bias = network.parameters.bias[index];
        const std::int64_t column = bias.storage_offset() - network.parameters.biases.storage_offset();
        dy = dy_of_linear.narrow(1, column, bias.numel()).unflatten(1, {replicas, spec.outputs});
      }
      Linear::Tensors tensors;
      tensors.weight = network.parameters.weight[index];
      tensors.dweight = {network.gradients.weight[index]};
      if (batch_.all_shards > 1) {
        tensors.dweight.clear();
        for (std::size_t v = 0; v < batch_.shards.size(); ++v) {
          const std::size_t shard = static_cast<std::size_t>(batch_.first_shard) + v;
          tensors.dweight.push_back(network.shard_gradients.of[shard].weight[index]);
        }
      }
      tensors.bias = network.parameters.bias[index];
      const DropoutOptions& dropout = network.network_options().dropout;
      const bool first = index == 0;
      const double p = first ? dropout.input : dropout.hidden;
      dropouts_.push_back(nullptr);
      if (use == Use::training && p > 0 && first) {
        const Tensor x = at::empty({batch_.own.images, lanes, spec.inputs}, network.options());
        add_dropout(lanes == 1 ? x.squeeze(1) : x, {}, lanes, p);
      } else if (use == Use::training && p > 0) {
        add_dropout(layers_.back()->y, layers_.back()->dy, replicas, p);
      }
      const Layer* below = first ? nullptr : layers_.back().get();
      auto layer = std::make_unique<Linear>(y, dy, tensors, below, lanes, batch_);
      if (first) first_ = layer.get();
      if (first && !layers_.empty()) first_->set_input(layers_.back()->y);
      linear_outputs_.push_back(layer->y);
      layers_.push_back(std::move(layer));
      break;
    }
    case LayerSpec::Kind::activation:
      layers_.push_back(std::make_unique<ActivationLayer>(spec.activation, *layers_.back()));
      activations_.push_back(layers_.back()->y);
      break;
    case LayerSpec::Kind::batch_norm:
      add_batch_norm(network, index, use);
      break;
  }
}

void Workspace::add_batch_norm(Network& network, std::size_t index, Use use) {
  BatchNorm::Tensors tensors;
  tensors.gamma = network.parameters.gamma[index];
  tensors.beta = network.parameters.beta[index];
  tensors.running_mean = network.running.mean[index];
  tensors.running_var = network.running.var[index];
  tensors.of_shards = batch_statistics_.of_shards();
  for (std::size_t v = 0; v < batch_statistics_.of.size(); ++v) {
    const Parameters& gradients =
        tensors.of_shards ? network.shard_gradients.of[static_cast<std::size_t>(batch_.first_shard) + v]
                          : network.gradients;
    tensors.of_batch.push_back({gradients.gamma[index], gradients.beta[index],
                                batch_statistics_.of[v].mean[index], batch_statistics_.of[v].var[index]});
  }
  layers_.push_back(std::make_unique<BatchNorm>(*layers_.back(), tensors,
                                                network.network_options().batch_norm, use, batch_));
}

void Workspace::add_dropout(const Tensor& x, const Tensor& dx, std::int64_t keys, double p) {
  auto dropout = std::make_unique<Dropout>(x, dx, keys, p, batch_.own.begin);
  dropouts_.back() = dropout.get();
  layers_.push_back(std::move(dropout));
}

void Workspace::set_input(const Tensor& x) {
  if (dropouts_.front() != nullptr) {
    dropouts_.front()->set_input(x);
  } else {
    first_->set_input(x);
  }
}

void Workspace::draw_dropout(const std::vector<std::uint64_t>& seeds,
                             const std::vector<std::uint64_t>& data_seeds, std::int64_t step) {
  for (std::size_t l = 0; l < dropouts_.size(); ++l) {
    if (dropouts_[l] == nullptr) continue;
    std::vector<std::uint64_t> keys = l == 0 ? data_seeds : seeds;
    for (std::uint64_t& key : keys) {
      key = QuickRandom::key(key, Stream::dropout, static_cast<std::uint64_t>(step), l);
    }
    dropouts_[l]->set_keys(keys);
  }
}

std::vector<Tensor> Workspace::dropout_masks() const {
  std::vector<Tensor> masks;
  for (const Dropout* dropout : dropouts_) masks.push_back(dropout == nullptr ? Tensor() : dropout->mask());
  return masks;
}

}  // namespace handgrad
