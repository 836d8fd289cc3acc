// All that training needs to go on with the same bits.
#include "handgrad/train/training_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "handgrad/base/errors.h"
#include "handgrad/models/stored_tensor.h"
#include "handgrad/train/checkpoint.h"

namespace handgrad {

void TrainingState::set(const std::string& name, std::int64_t value) {
  tensors[name] = at::scalar_tensor(value, at::kLong);
}

std::int64_t TrainingState::number(const std::string& name) const {
  return tensor(name, at::scalar_tensor(0, at::kLong)).item<std::int64_t>();
}

std::int64_t TrainingState::step(const std::string& name, std::int64_t most) const {
  const std::int64_t step = number(name);
  if (step < 0 || step > most) refuse();
  return step;
}

std::vector<std::int64_t> TrainingState::steps(const std::string& name, std::size_t count) const {
  std::vector<std::int64_t> values = each<std::int64_t>(name, count);
  const std::int64_t most = number("step");
  if (std::any_of(values.begin(), values.end(), [&](std::int64_t step) { return step < 0 || step > most; }))
    refuse();
  return values;
}

void TrainingState::refuse() {
  throw ModelError("the checkpoint has counts of steps that no such training has; begin another run");
}

Tensor TrainingState::tensor(const std::string& name, const Tensor& like) const {
  const auto found = tensors.find(name);
  if (found == tensors.end() || found->second.sizes() != like.sizes() ||
      found->second.scalar_type() != like.scalar_type()) {
    throw ModelError(
        fmt::format("the checkpoint has no {} of this network; it belongs to another one", name));
  }
  return found->second;
}

const std::string& TrainingState::string(const std::string& name) const {
  const auto found = text.find(name);
  if (found == text.end()) throw ModelError(fmt::format("the checkpoint says nothing about {}", name));
  return found->second;
}

std::string to_checkpoint(const TrainingState& state) {
  Safetensors contents;
  contents.metadata = state.text;
  std::map<std::string, Tensor> on_cpu;  // keeps the bytes while they are written
  for (const auto& [name, tensor] : state.tensors) {
    const Tensor& bytes = on_cpu[name] = tensor.to(at::kCPU).contiguous();
    contents.tensors.push_back(as_stored(name, bytes));
  }
  return seal_checkpoint(std::move(contents));
}

TrainingState parse_checkpoint(std::string_view file, const std::string& name) {
  const Safetensors contents = open_checkpoint(file, name);
  TrainingState state;
  state.text = contents.metadata;
  for (const StoredTensor& stored : contents.tensors) {
    const Tensor tensor = as_tensor(stored);
    if (tensor.defined()) state.tensors[stored.name] = tensor;
  }
  return state;
}

}  // namespace handgrad
