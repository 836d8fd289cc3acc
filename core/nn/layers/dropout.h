// Dropout, in training; evaluation has no such layer.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/nn/layers/layer.h"

namespace handgrad {

class Dropout : public Layer {
 public:
  // x [N,R,F], or [N,F] for one key; dx, undefined where nobody asks, becomes what dy was. p: of being dropped.
  // first_image: where those of x begin in their batch.
  Dropout(const Tensor& x, const Tensor& dx, std::int64_t keys, double p, std::int64_t first_image);

  void set_input(const Tensor& x) { x_ = x; }

  // One per network, or per lane of inputs: what the mask of the next forward pass is a function of.
  void set_keys(const std::vector<std::uint64_t>& keys);

  void forward(Use use) override;
  void backward() override;

  // [N,R,F], of the last forward pass.
  const Tensor& mask() const { return mask_; }

 private:
  Tensor x_;
  double p_;
  std::int64_t first_image_;
  Tensor keys_;  // [R], int64
  Tensor mask_;
};

}  // namespace handgrad
