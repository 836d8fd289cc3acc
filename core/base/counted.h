// Counts with their nouns, as messages have them.
#pragma once

#include <string>

namespace handgrad {

// "1 image", "2 images".
template <typename Count>
std::string counted(Count count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace handgrad
