// The tensors of R equal networks: parameters (or their gradients, of the same shape) and running statistics,
// each kind in one flat buffer, so that an update of all of them is one operation.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "handgrad/nn/ops.h"

namespace handgrad {

// A fully connected classifier: inputs → hidden… → classes, ReLU after each hidden layer, batch norm after
// that.
struct Architecture {
  int64_t inputs = 784;
  std::vector<int64_t> hidden = {20, 7, 5};  // empty: a linear classifier
  int64_t classes = 10;
  bool batch_norm = false;

  int64_t layers() const { return static_cast<int64_t>(hidden.size()) + 1; }
  int64_t fan_in(int64_t layer) const { return layer == 0 ? inputs : hidden[static_cast<size_t>(layer - 1)]; }
  int64_t fan_out(int64_t layer) const {
    return layer + 1 == layers() ? classes : hidden[static_cast<size_t>(layer)];
  }
  int64_t widest_hidden() const;  // 0 where there is no hidden layer
  // Trainable numbers of one network.
  int64_t parameter_count() const;

  // "784-20-7-5-10", with " + batch norm" where there is any: it follows hidden layers.
  std::string description() const;
};

constexpr int64_t widest_layer = 65536;

// Throws ArgumentError for a width outside 1 to widest_layer, no inputs, or less than one replica.
void validate(const Architecture& architecture, int64_t replicas);

// Views into `flat`: [all weights | all biases | all γ | all β], layer by layer. `weights` is the first part,
// `biases` the second: [R·F₁ + R·F₂ + …].
struct Parameters {
  Parameters(const Architecture& architecture, int64_t replicas, const at::TensorOptions& options);

  Tensor flat;
  Tensor weights, biases;
  std::vector<Tensor> weight;  // a layer each: [R,out,in]
  std::vector<Tensor> bias;    // a layer each: [R,out]
  std::vector<Tensor> gamma;   // a hidden layer each: [R,F]; empty without batch norm
  std::vector<Tensor> beta;

  // Every view, in the order of `flat`.
  std::vector<Tensor> views() const;
};

// The running mean and variance of each hidden layer [R,F]; empty without batch norm.
struct RunningStatistics {
  RunningStatistics(const Architecture& architecture, int64_t replicas, const at::TensorOptions& options);

  Tensor flat;
  std::vector<Tensor> mean;
  std::vector<Tensor> var;

  // Every view, in the order of `flat`.
  std::vector<Tensor> views() const;
};

// The tensors of network `replica` under the names that they have in the equal PyTorch model,
// nn.Sequential(Linear, ReLU, [BatchNorm1d], …, Linear): "0.weight" [out,in], "0.bias" [out], …
std::vector<std::pair<std::string, Tensor>> named_tensors(const Architecture& architecture,
                                                          const Parameters& parameters,
                                                          const RunningStatistics& running, int64_t replica);

// Copies these networks, by their numbers, from one set of tensors to another of the same shape.
void copy_networks(Parameters& to_parameters, RunningStatistics& to_running,
                   const Parameters& from_parameters, const RunningStatistics& from_running,
                   const std::vector<int64_t>& replicas);

// A value per network, spread over a flat buffer with a [R,…] view per entry of `views`: each element gets
// the value of the network that it belongs to.
Tensor spread(const std::vector<double>& values, const std::vector<Tensor>& views);

}  // namespace handgrad
