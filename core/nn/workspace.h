// Everything that batches of one size need on their way through a network, allocated and sliced once.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "handgrad/nn/architecture.h"
#include "handgrad/nn/batch_statistics.h"
#include "handgrad/nn/layers/dropout.h"
#include "handgrad/nn/layers/layer.h"
#include "handgrad/nn/layers/linear.h"

namespace handgrad {

class Network;

class Workspace {
 public:
  // The network must outlive it. lanes: how many inputs the networks have, equally many networks each, in
  // order.
  Workspace(Network& network, std::int64_t batch_size, Use use, std::int64_t lanes = 1);

  // Of the whole batch, N. Where processes share it out, tensors have what this one has of it.
  std::int64_t batch_size() const { return batch_.batch_size; }
  const BatchPart& batch() const { return batch_; }
  // Σ_n of the losses [R].
  const BatchSum& loss_sum() const { return loss_sum_; }
  // What batch norm writes down of the batch.
  BatchStatistics& batch_statistics() { return batch_statistics_; }
  // Those of Architecture::layers(), in their order, and in training dropout before linear layers.
  const std::vector<std::unique_ptr<Layer>>& layers() const { return layers_; }

  // x [N,inputs], with lanes [N,K,inputs]: the batch of the next pass.
  void set_input(const Tensor& x);

  // What the dropout of a training step is a function of: the seeds of the networks, and for inputs that of
  // each lane's images.
  void draw_dropout(const std::vector<std::uint64_t>& seeds, const std::vector<std::uint64_t>& data_seeds,
                    std::int64_t step);
  // The masks [N,R,F] of the last pass by the linear layer that they stand before, [N,K,inputs] of the first;
  // undefined where there is no dropout.
  std::vector<Tensor> dropout_masks() const;

  const Tensor& logits() const { return layers_.back()->y; }  // [N,R,C]
  // What linear layer `index`, from 0, gives out, and its activation, if that follows directly, has changed in
  // place: the input of batch norm, wherever that stands; [N,R,F].
  const Tensor& linear_output(std::int64_t index) const {
    return linear_outputs_[static_cast<std::size_t>(index)];
  }

  // The outputs of the activations, [N,R,F].
  const std::vector<Tensor>& activations() const { return activations_; }

  Tensor probabilities;  // [N,R,C]
  // [N, R·F₁ + R·F₂ + …]: dy of all linear layers, side by side as the biases are.
  Tensor dy_of_linear;

 private:
  void add_layer(Network& network, const LayerSpec& spec, Use use, std::int64_t lanes);
  void add_batch_norm(Network& network, std::size_t index, Use use);
  void add_dropout(const Tensor& x, const Tensor& dx, std::int64_t keys, double p);

  BatchPart batch_;
  BatchSum loss_sum_;
  BatchStatistics batch_statistics_;
  std::vector<std::unique_ptr<Layer>> layers_;
  Linear* first_ = nullptr;
  std::vector<Dropout*> dropouts_;  // of each linear layer's input; null where there is none
  std::vector<Tensor> linear_outputs_, activations_;
};

}  // namespace handgrad
