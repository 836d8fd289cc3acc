// Dropout.
#include "handgrad/nn/layers/dropout.h"

#include <algorithm>

namespace handgrad {

Dropout::Dropout(const Tensor& x, const Tensor& dx, std::int64_t keys, double p, std::int64_t first_image)
    : Layer(at::empty_like(x), dx),
      x_(x),
      p_(p),
      first_image_(first_image),
      keys_(at::zeros({keys}, x.options().dtype(at::kLong))),
      mask_(at::empty({x.size(0), keys, x.size(-1)}, x.options())) {}

void Dropout::set_keys(const std::vector<std::uint64_t>& keys) {
  if (keys_.is_cpu()) {
    std::copy(keys.begin(), keys.end(), reinterpret_cast<std::uint64_t*>(keys_.data_ptr<std::int64_t>()));
    return;
  }
  const std::vector<std::int64_t> values(keys.begin(), keys.end());
  keys_.copy_(at::tensor(values, at::kLong));
}

void Dropout::forward(Use /*use*/) {
  dropout_mask(mask_, keys_, p_, first_image_);
  dropout_forward(y, x_, mask_.view_as(y));
}

void Dropout::backward() {
  if (dy.defined()) dropout_backward(dy, dy, mask_.view_as(y));
}

}  // namespace handgrad
