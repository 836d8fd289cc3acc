// R equal networks side by side: the forward pass, and the backward pass that mirrors it line by line.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/nn/network_options.h"
#include "handgrad/nn/parameters.h"
#include "handgrad/nn/workspace.h"

namespace handgrad {

// Images that are evaluated at once.
constexpr std::int64_t evaluation_batch_size = 1000;

// Floating-point operations of the largest layer's product y = x Wᵀ, all networks together.
double largest_layer_flops(const Architecture& architecture, std::int64_t replicas, std::int64_t batch_size);

// λ of the L2 penalty: a number when all networks share it, else one per weight.
struct L2 {
  L2(std::vector<double> values, const Parameters& parameters);

  std::vector<double> per_replica;          // [R]
  std::vector<Tensor> spread_over_weights;  // in_ranges; empty where all networks share one value
};

// What each shard of a batch adds to the gradients.
struct ShardGradients {
  ShardGradients(const Architecture& architecture, std::int64_t replicas, const at::TensorOptions& options,
                 const NetworkOptions& network_options);

  // [V, parameters]: a row has the order of Parameters::flat. Without γ and β where batch norm, which needs their
  // sums for dx, adds them up itself. Undefined where there is one shard.
  Tensor all;
  std::vector<Parameters> of;
};

class Network {
 public:
  // `processes`: all have this network, and each computes its share of the shards of a training batch; null
  // where there is but one. Throws ArgumentError where validate does.
  Network(const Architecture& architecture, std::int64_t replicas, const at::TensorOptions& options,
          const NetworkOptions& network_options = {}, ProcessGroup* processes = nullptr);
  Network(const Network&) = delete;  // workspaces hold views into the buffers
  Network& operator=(const Network&) = delete;

  // He-normal weights, zero biases, γ = 1, β = 0. Network r depends on seeds[r] alone.
  // Throws ArgumentError where there are not as many seeds as networks.
  void initialise(const std::vector<std::uint64_t>& seeds);

  // x [N,inputs], or [N,K,inputs] where the workspace has K lanes → workspace.logits(). In training, batch
  // norm uses the batch and updates the running statistics.
  void forward(Workspace& workspace, const Tensor& x, Use use);

  // One training pass: x as above, targets [N,1,C] one-hot, or [N,R,C] → `gradients` of the data loss plus
  // the L2 penalty. loss [R]: the data loss, where asked for. Where processes share the batch out, x and
  // targets are what this one has of it, and the results those of all.
  void forward_backward(Workspace& workspace, const Tensor& x, const Tensor& targets, const L2& l2,
                        Tensor* loss = nullptr);

  // The same in parts, for who passes over the gradients anyway: of the data loss alone, and then what the penalty
  // of a batch of so many images adds to one of their ranges, by its number in in_ranges(gradients.flat).
  void forward_backward(Workspace& workspace, const Tensor& x, const Tensor& targets, Tensor* loss = nullptr);
  void add_penalty(std::size_t range, const L2& l2, std::int64_t batch_size);

  // The data loss [R] of what forward left in the workspace; targets as above.
  void loss(Workspace& workspace, const Tensor& targets, Tensor& loss);

  // Where network `replica` first met a number that is not finite, in the order of computation, such as "the
  // output of layer 2 (20 → 7)"; "" where all are finite. Of a pass: layer outputs, then gradients. Of the
  // parameters.
  std::string fault_in_pass(const Workspace& workspace, std::int64_t replica) const;
  std::string fault_in_parameters(std::int64_t replica) const;

  // Makes each network compute of x what it computed of scale · x + shift: W' = scale W, b' = b + shift Σ_i W_i
  // in the first layer. scale, shift: [R], or [K] where each holds for R/K networks in a row.
  void substitute_input(const Tensor& scale, const Tensor& shift);

  // The L2 penalty of each network, [R].
  Tensor l2_penalty(const L2& l2, std::int64_t batch_size) const;

  std::int64_t replicas() const { return replicas_; }
  const Architecture& architecture() const { return architecture_; }
  const NetworkOptions& network_options() const { return network_options_; }
  ProcessGroup* processes() const { return processes_; }
  at::TensorOptions options() const { return parameters.flat.options(); }

 private:
  void backward(Workspace& workspace, const Tensor& targets);
  void add_up_shards(const Workspace& workspace);
  std::string layer_name(std::size_t linear) const;
  bool finite_everywhere(const Tensor& units) const;

  Architecture architecture_;
  std::int64_t replicas_;
  NetworkOptions network_options_;
  ProcessGroup* processes_;

 public:
  Parameters parameters;
  Parameters gradients;
  ShardGradients shard_gradients;
  RunningStatistics running;

 private:
  std::vector<Tensor> weights_, dweights_;  // in ranges
};

}  // namespace handgrad
