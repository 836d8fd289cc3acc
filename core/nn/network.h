// R equal networks side by side: the forward pass, and the backward pass that mirrors it line by line.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/nn/compat.h"
#include "handgrad/nn/parameters.h"

namespace handgrad {

// PyTorch's defaults for BatchNorm1d.
constexpr double batch_norm_eps = 1e-5;
constexpr double batch_norm_momentum = 0.1;

// Of the described notebook, with bn_batch_stats.
constexpr double compat_bn_eps = 1e-8;

// Images that are evaluated at once.
constexpr std::int64_t evaluation_batch_size = 1000;

// Floating-point operations of the largest layer's product y = x Wᵀ, all networks together.
double largest_layer_flops(const Architecture& architecture, int64_t replicas, int64_t batch_size);

// λ of the L2 penalty: a number when all networks share it, else one per weight of the flat buffer.
struct L2 {
  L2(std::vector<double> values, const Parameters& parameters);

  std::vector<double> per_replica;  // [R]
  Tensor spread_over_weights;       // undefined where all networks share one value
};

class Network;

// Everything that a batch of one size needs on its way through the network, allocated and sliced once.
class Workspace {
 public:
  enum class Use { training, evaluation };  // evaluation needs no gradients

  // lanes: how many inputs the networks have, equally many networks each, in order.
  Workspace(Network& network, int64_t batch_size, Use use, int64_t lanes = 1);

  int64_t batch_size() const { return batch_size_; }
  const Tensor& logits() const { return layers_.back().output; }  // [N,R,C]
  // What hidden layer `layer` gives out after ReLU, before batch norm; [N,R,F].
  const Tensor& activation(int64_t layer) const { return layers_[static_cast<size_t>(layer)].output; }

 private:
  friend class Network;

  // The operands of the matrix products of one network, of all that read the same input, or of a thread's
  // part of these. A product whose result is undefined is not taken.
  struct Product {
    Tensor y, dx, dweight;
    Tensor x;
    Matrix weight, dy;
  };

  struct Layer {
    std::vector<Product> forward, backward;
    int64_t grain = 1;                      // more products than this are shared among threads
    Tensor output, doutput;                 // [N,R,F]; what linear writes, then ReLU in place
    Tensor normalised, dnormalised, x_hat;  // [N,R,F], with batch norm
    Tensor mean, variance, inverse_std;     // [R,F], with batch norm
  };

  void slice(Network& network, size_t layer);
  void slice_lanes(Network& network);
  void set_input(const Tensor& x);

  int64_t batch_size_, lanes_;
  std::vector<Layer> layers_;
  // The parts of all weights and their gradients that a thread each adds the L2 penalty's gradient to.
  std::vector<Tensor> weights_, dweights_;
  Tensor doutputs_;  // [N, R·F₁ + R·F₂ + …]: every layer's doutput, side by side as the biases are
  Tensor probabilities_;
};

class Network {
 public:
  // Throws ArgumentError where validate does.
  Network(const Architecture& architecture, int64_t replicas, const at::TensorOptions& options,
          Compat compat = {});
  Network(const Network&) = delete;  // workspaces hold views into the buffers
  Network& operator=(const Network&) = delete;

  // He-normal weights, zero biases, γ = 1, β = 0. Network r depends on seeds[r] alone.
  // Throws ArgumentError where there are not as many seeds as networks.
  void initialise(const std::vector<std::uint64_t>& seeds);

  // x [N,inputs], or [N,K,inputs] where the workspace has K lanes → workspace.logits(). In training, batch
  // norm uses the batch and updates the running statistics.
  void forward(Workspace& workspace, const Tensor& x, Workspace::Use use);

  // One training pass: x as above, targets [N,1,C] one-hot, or [N,R,C] → `gradients` of the data loss plus
  // the L2 penalty. loss [R]: the data loss, where asked for.
  void forward_backward(Workspace& workspace, const Tensor& x, const Tensor& targets, const L2& l2,
                        Tensor* loss = nullptr);

  // The data loss [R] of what forward left in the workspace; targets as above.
  void loss(Workspace& workspace, const Tensor& targets, Tensor& loss);

  // Where network `replica` first met a number that is not finite, in the order of computation, such as "the
  // output of layer 2 (20 → 7)"; "" where all are finite. Of a pass: layer outputs, then gradients. Of the
  // parameters.
  std::string fault_in_pass(const Workspace& workspace, int64_t replica) const;
  std::string fault_in_parameters(int64_t replica) const;

  // The L2 penalty of each network, [R].
  Tensor l2_penalty(const L2& l2, int64_t batch_size) const;

  int64_t replicas() const { return replicas_; }
  const Architecture& architecture() const { return architecture_; }
  const Compat& compat() const { return compat_; }
  double eps() const { return compat_.bn_batch_stats ? compat_bn_eps : batch_norm_eps; }  // of batch norm
  at::TensorOptions options() const { return parameters.flat.options(); }

 private:
  void backward(Workspace& workspace, const Tensor& targets);
  void batch_norm(Workspace& workspace, size_t layer, Workspace::Use use);
  std::string layer_name(size_t layer) const;

  Architecture architecture_;
  int64_t replicas_;
  Compat compat_;

 public:
  Parameters parameters;
  Parameters gradients;
  RunningStatistics running;
};

}  // namespace handgrad
