// Tensors that are made once.
#include "handgrad/base/tensor.h"

#include <map>
#include <utility>

namespace handgrad {

std::vector<double> to_vector(const Tensor& tensor) {
  const Tensor values = tensor.to(at::kCPU, at::kDouble).contiguous();
  const double* first = values.data_ptr<double>();
  return {first, first + values.numel()};
}

const Tensor& constant(double value, const Tensor& like) {
  thread_local std::map<std::pair<double, at::ScalarType>, Tensor> constants;
  Tensor& tensor = constants[{value, like.scalar_type()}];
  if (!tensor.defined()) tensor = at::full({}, value, at::TensorOptions(at::kCPU).dtype(like.scalar_type()));
  return tensor;
}

}  // namespace handgrad
