// Tensors as safetensors files store them.
#include "handgrad/models/stored_tensor.h"

#include <algorithm>
#include <map>

namespace handgrad {

namespace {

const std::map<std::string, at::ScalarType>& dtypes() {
  static const std::map<std::string, at::ScalarType> types = {{"F64", at::kDouble},
                                                              {"F32", at::kFloat},
                                                              {"F16", at::kHalf},
                                                              {"BF16", at::kBFloat16},
                                                              {"I64", at::kLong}};
  return types;
}

}  // namespace

StoredTensor as_stored(const std::string& name, const Tensor& tensor) {
  const auto has_type = [&](const auto& entry) { return entry.second == tensor.scalar_type(); };
  const std::string& dtype = std::find_if(dtypes().begin(), dtypes().end(), has_type)->first;
  return {name, dtype, tensor.sizes().vec(), {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}};
}

Tensor as_tensor(const StoredTensor& stored) {
  const auto found = dtypes().find(stored.dtype);
  if (found == dtypes().end()) return {};
  // Copied as bytes: the numbers need not be aligned in the file.
  Tensor tensor = at::empty(stored.shape, found->second);
  std::copy(stored.bytes.begin(), stored.bytes.end(), static_cast<char*>(tensor.data_ptr()));
  return tensor;
}

}  // namespace handgrad
