// y = x Wᵀ + b of R networks, as the matrix products that are fastest for where they stand.
#pragma once

#include <vector>

#include "handgrad/nn/layers/layer.h"

namespace handgrad {

class Linear : public Layer {
 public:
  // Views of one layer into the buffers of the network: [R,out,in], [R,out]. The gradients of the biases of
  // all layers are one operation of the network's.
  struct Tensors {
    Tensor weight, dweight, bias;
  };

  // y, dy [N,R,out]. `below` is null for the first layer, of images [N,inputs] that all networks share, or
  // [N,K,inputs] of K lanes of networks: set_input gives it each batch.
  Linear(const Tensor& y, const Tensor& dy, const Tensors& tensors, const Layer* below, std::int64_t lanes);

  void set_input(const Tensor& x);

  void forward(Use use) override;
  void backward() override;

 private:
  // The operands of the products of one network, of all that read the same input, or of a thread's part of
  // these.
  struct ForwardProduct {
    Tensor y, x;
    Matrix weight;
  };
  struct BackwardProduct {
    Tensor dx, dweight;  // undefined where nobody asks
    Matrix dy;
    Tensor x;
    Matrix weight;
  };

  // x, dx, dy undefined where there is none.
  struct Operands {
    Tensor y, x, weight;
    Tensor dx, dweight, dy;
  };

  void lane_by_lane(const Operands& all);
  void batched(const Operands& all);
  void network_by_network(const Operands& all);
  void as_one_wide_layer(const Operands& all);
  void add(const Operands& product);

  std::int64_t lanes_;
  Tensor bias_;
  std::vector<ForwardProduct> forward_;
  std::vector<BackwardProduct> backward_;
  std::int64_t grain_ = 1;  // more products than this are shared among threads
};

}  // namespace handgrad
