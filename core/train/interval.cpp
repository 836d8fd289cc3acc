// A length of training, in steps or in epochs.
#include "handgrad/train/interval.h"

#include <fmt/format.h>

#include "handgrad/base/numbers.h"
#include "handgrad/train/training_options.h"

namespace handgrad {

std::optional<Interval> parse_interval(const std::string& text) {
  const bool epochs = text.size() > 2 && text.compare(text.size() - 2, 2, "ep") == 0;
  const auto count = parse_integer(epochs ? text.substr(0, text.size() - 2) : text);
  if (!count || *count < 1 || *count > largest_count) return std::nullopt;
  return Interval{*count, epochs ? Interval::Unit::epochs : Interval::Unit::steps};
}

std::string to_string(const Interval& interval) {
  return fmt::format("{}{}", interval.count, interval.unit == Interval::Unit::epochs ? "ep" : "");
}

}  // namespace handgrad
