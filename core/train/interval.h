// A length of training, in steps or in epochs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace handgrad {

struct Interval {
  enum class Unit { steps, epochs };

  std::int64_t count = 1;
  Unit unit = Unit::epochs;

  std::int64_t steps(std::int64_t steps_per_epoch) const {
    return unit == Unit::epochs ? count * steps_per_epoch : count;
  }
};

// "100" steps or "1ep" epochs, and back; none for any other text.
std::optional<Interval> parse_interval(const std::string& text);
std::string to_string(const Interval& interval);

}  // namespace handgrad
