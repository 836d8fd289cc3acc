// Which tensors of a file are which layers of a network, told by their names and shapes. Free of LibTorch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/nn/architecture.h"

namespace handgrad {

struct NamedShape {
  std::string name;
  std::vector<std::int64_t> shape;
};

// A layer's modules: what their tensors' names have before ".weight".
struct LayerNames {
  std::string linear;
  std::optional<std::string> batch_norm;
  // After or before the activation, the same in all layers; none where the names do not tell it.
  std::optional<BatchNormPlace> batch_norm_place;
};

// "fc1" and "weight": "fc1.weight". Of a module without a name the tensor is "weight".
std::string tensor_name(const std::string& module, const std::string& leaf);

// Whether tensors stand in the order in which their modules were made, as in a state dict.
enum class FileOrder { of_making, arbitrary };

// The layers of a fully connected network from the first to the last. Modules may have any names: a weight
// [outputs, inputs] with a bias [outputs] is a Linear layer; a weight [F] with bias, running_mean and
// running_var is batch norm, which must be there for every hidden layer or for none. The order is the one
// that fits the shapes and the numbers in names that differ in nothing else, if that is the only one.
// Neighbours in an nn.Sequential, named by their numbers, must leave room for an activation between Linear
// layers, on one side of batch norm and not on both: 0, 2, 3 has it behind the activation, 0, 1, 3 before.
// Other names do not tell where it is. num_batches_tracked is passed over.
// `file` is what messages call it. Throws ModelError, with what was found and what is expected, for tensors
// that are anything else or can be read in two ways.
std::vector<LayerNames> find_layers(const std::string& file, const std::vector<NamedShape>& tensors,
                                    FileOrder order);

}  // namespace handgrad
