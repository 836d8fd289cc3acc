// A dict of tensors as Python's pickle writes it for torch.save: which bytes of which storage are which
// tensor. A pickle is a program for a stack machine, and may call any function of Python. This reader knows a
// handful of its operations and of names; it calls nothing, and refuses all else. Free of LibTorch.
// https://docs.python.org/3/library/pickletools.html describes the operations.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace handgrad {

// What torch._utils._rebuild_tensor_v2 is given. Sizes count items, not bytes.
struct PickledTensor {
  std::string name;
  std::string storage_type;  // "FloatStorage", "DoubleStorage", …
  std::string storage;       // the key of its bytes in the archive
  std::int64_t storage_size = 0;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, stride;
};

// The pickle, of protocol 2, of a plain dict of these tensors, for torch.load(…, weights_only=True).
std::string pickle_tensors(const std::vector<PickledTensor>& tensors);

// The tensors of a pickled dict or OrderedDict of tensors, in its order, each within its storage and not
// larger than it; protocol 2, torch.save's default. The dict may stand inside of others, beside an optimizer
// or what else was saved, if it is the only one with a tensor whose name ends in "weight". `file` is what
// messages call it. Throws ModelError for any other pickle.
std::vector<PickledTensor> unpickle_tensors(std::string_view pickle, const std::string& file);

}  // namespace handgrad
