// y = x Wᵀ + b of R networks, as the matrix products that are fastest for where they stand.
#pragma once

#include <vector>

#include "handgrad/nn/layers/layer.h"
#include "handgrad/nn/shards.h"

namespace handgrad {

class Linear : public Layer {
 public:
  // Views of one layer into the buffers of the network: [R,out,in], [R,out]. The gradients of the biases of
  // all layers are one operation of the network's.
  struct Tensors {
    Tensor weight, bias;
    std::vector<Tensor> dweight;  // of each shard that is computed
  };

  // y, dy [N,R,out]. `below` is null for the first layer, of images [N,inputs] that all networks share, or
  // [N,K,inputs] of K lanes of networks: set_input gives it each batch.
  // Several shards are so many products, or times so many, which threads take whole: their bits are those of one
  // thread.
  Linear(const Tensor& y, const Tensor& dy, const Tensors& tensors, const Layer* below, std::int64_t lanes,
         const BatchPart& batch);

  void set_input(const Tensor& x);

  void forward(Use use) override;
  void backward() override;

 private:
  // Which part of the images given to set_input the first layer's product reads.
  struct Source {
    Shard shard;  // with no images: all
    std::int64_t lane = 0;
  };

  // The operands of the products of one network, of all that read the same input, or of a thread's part of
  // these.
  struct ForwardProduct {
    Tensor y, x;
    Matrix weight;
    Tensor bias;  // undefined where it is added to the outputs of all products
    Source source;
  };
  struct BackwardProduct {
    Tensor dx, dweight;  // undefined where nobody asks
    Matrix dy;
    Tensor x;
    Matrix weight;
    Source source;
  };

  // Undefined where there is none.
  struct Operands {
    Tensor y, x, weight, bias;
    Tensor dx, dweight, dy;
    Source source;
  };

  static Operands part(const Operands& all, const Shard& shard);
  // The products of the batch, or of a shard.
  void add_products(const Operands& all);
  void lane_by_lane(const Operands& all);
  void batched(const Operands& all);
  void network_by_network(const Operands& all);
  void as_one_wide_layer(const Operands& all);
  void add_parts_of(const Operands& wide, std::int64_t parts);
  void add(const Operands& product);

  std::int64_t lanes_;
  bool first_;
  bool in_shards_;
  Tensor bias_;  // of all products together
  std::vector<ForwardProduct> forward_;
  std::vector<BackwardProduct> backward_;
  std::int64_t grain_ = 1;  // more products than this are shared among threads
};

}  // namespace handgrad
