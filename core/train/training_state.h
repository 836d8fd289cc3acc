// All that training needs to go on with the same bits, between two steps: parameters, optimizer, running
// statistics, what early stopping remembers, the best parameters so far. There is no state of a random number
// generator: the batches are a function of the data seed and the step, the initial weights of the seed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "handgrad/base/tensor.h"

namespace handgrad {

struct TrainingState {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> text;

  // A single whole number, or one number per network, as a tensor.
  void set(const std::string& name, std::int64_t value);
  std::int64_t number(const std::string& name) const;

  // A number per network.
  template <typename Number>
  void set_each(const std::string& name, const std::vector<Number>& values) {
    tensors[name] = at::tensor(values);
  }
  template <typename Number>
  std::vector<Number> each(const std::string& name, std::size_t count) const {
    const Tensor like =
        at::empty({static_cast<std::int64_t>(count)}, c10::CppTypeToScalarType<Number>::value);
    const Tensor values = tensor(name, like);
    return {values.data_ptr<Number>(), values.data_ptr<Number>() + count};
  }

  // A count of steps, or one per network, from 0 to `most`, or to the step that the state is of. Throws
  // ModelError where it is none.
  std::int64_t step(const std::string& name, std::int64_t most) const;
  std::vector<std::int64_t> steps(const std::string& name, std::size_t count) const;
  [[noreturn]] static void refuse();

  // The tensor or text of this name. Throws ModelError where there is none, or the tensor is not shaped and
  // typed as `like`.
  Tensor tensor(const std::string& name, const Tensor& like) const;
  const std::string& string(const std::string& name) const;
};

// As the file of a checkpoint, and back. Throw what seal_checkpoint and open_checkpoint throw.
std::string to_checkpoint(const TrainingState& state);
TrainingState parse_checkpoint(std::string_view file, const std::string& name);

}  // namespace handgrad
