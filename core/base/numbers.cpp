// Numbers as words.
#include "handgrad/base/numbers.h"

#include <charconv>
#include <cmath>

namespace handgrad {

namespace {

template <typename Number>
std::optional<Number> parse_strictly(const std::string& text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::int64_t> parse_integer(const std::string& text) {
  return parse_strictly<std::int64_t>(text);
}

std::optional<double> parse_number(const std::string& text) {
  const std::optional<double> value = parse_strictly<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

}  // namespace handgrad
