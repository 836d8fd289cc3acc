// Lists in one word, as flags have them.
#pragma once

#include <string>
#include <vector>

namespace handgrad {

// "a,b" → {"a", "b"}; "a," → {"a", ""}.
std::vector<std::string> parts_of(const std::string& list);

}  // namespace handgrad
