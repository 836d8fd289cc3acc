// The tensors of R equal networks: parameters (or their gradients, of the same shape) and running statistics,
// each kind in one flat buffer, so that an update of all of them is one operation.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "handgrad/base/tensor.h"
#include "handgrad/nn/architecture.h"

namespace handgrad {

// Views into `flat`: [all weights | all biases | all γ | all β], layer by layer. `weights` is the first part,
// `biases` the second: [R·F₁ + R·F₂ + …].
struct Parameters {
  Parameters(const Architecture& architecture, std::int64_t replicas, const at::TensorOptions& options);
  // Of such a buffer.
  Parameters(const Architecture& architecture, std::int64_t replicas, Tensor flat);

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
  // Means of 0, variances of 1.
  RunningStatistics(const Architecture& architecture, std::int64_t replicas,
                    const at::TensorOptions& options);
  // Of such a buffer: [all means | all variances], layer by layer.
  RunningStatistics(const Architecture& architecture, std::int64_t replicas, Tensor flat);

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
                                                          const RunningStatistics& running,
                                                          std::int64_t replica);

// Copies these networks, by their numbers, from one set of tensors to another of the same shape.
void copy_networks(Parameters& to_parameters, RunningStatistics& to_running,
                   const Parameters& from_parameters, const RunningStatistics& from_running,
                   const std::vector<std::int64_t>& replicas);

// A flat buffer in ranges of so few numbers that they stay in a core's cache from one operation to the next, and that
// threads can share out; whole on a GPU. Those of buffers in one order, or of their first parts, lie at the same places.
std::vector<Tensor> in_ranges(const Tensor& flat);

// A value per network, spread over a flat buffer with a [R,…] view per entry of `views`: each element gets
// the value of the network that it belongs to.
Tensor spread(const std::vector<double>& values, const std::vector<Tensor>& views);

}  // namespace handgrad
