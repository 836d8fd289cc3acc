// Numbers as words: the whole text or none of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace handgrad {

// None for anything but a whole number, or a finite number, from the first character to the last.
std::optional<std::int64_t> parse_integer(const std::string& text);
std::optional<double> parse_number(const std::string& text);

}  // namespace handgrad
