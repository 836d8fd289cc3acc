// What a JSON text is, before anything is built from it: the library that builds it recurses as deep as the
// text nests, and keeps one of two keys that are the same. Free of LibTorch.
#pragma once

#include <string>
#include <string_view>

namespace handgrad {

struct JsonCheck {
  bool good = false;         // it is JSON, and nests no deeper than was allowed
  std::string repeated_key;  // a key that stands twice in one object; "" where none does
};

JsonCheck check_json(std::string_view text, std::size_t most_levels);

}  // namespace handgrad
