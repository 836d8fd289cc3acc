// The stack machine that a pickle is a program for, as far as tensors need it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "handgrad/models/pickle.h"

namespace handgrad {

// A pickle can name one object any number of times: what is copied for each tensor is small.
constexpr std::size_t longest_pickled_name = 128;

struct PickledObject {
  enum class Kind { none, flag, number, real, text, tuple, list, dict, global, storage, tensor };

  Kind kind = Kind::none;
  std::int64_t number = 0;  // of a tensor: its position among the tensors
  std::string text;         // of a global: its name
  // Positions among the objects; of a dict: key, value, key, value, …; of a storage: type, key.
  std::vector<std::size_t> items;
};

// What a pickle made. Objects never hold objects but by their position in one list, so that neither cycles
// nor deep nesting, both of which a pickle can build, can do harm.
struct Unpickled {
  std::vector<PickledObject> objects;
  std::vector<PickledTensor> tensors;  // each within its storage, without a name
  std::size_t result = 0;              // the position of the object that it is all about
};

// Throws ModelError for a damaged pickle, and for one that does what saving a state dict does not.
Unpickled run_pickle(std::string_view pickle, const std::string& file);

[[noreturn]] void refuse_pickle_contents(const std::string& file, const std::string& reason);

}  // namespace handgrad
