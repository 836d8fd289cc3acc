// Names from outside in messages: on one line, and of bounded length. Free of LibTorch.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace handgrad {

// `name` as messages show it: on one line, whatever bytes a file name holds.
std::string printable(std::string_view name);

// The same of a name that stands in a file, which may be of any length: its beginning.
std::string printable_excerpt(std::string_view name);

// `text` as UTF-8 without control characters: each byte of these, and of what is no UTF-8, as \x and two digits.
// What is that already stays as it is.
std::string visible(std::string_view text);

// So many such names one after the other, or what else is so short: the first thirty, and how many there are
// beyond. `name` is asked for the text at each position.
std::string printable_list(std::size_t count, const std::function<std::string(std::size_t)>& name);

}  // namespace handgrad
