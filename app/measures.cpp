// What is measured of each run.
#include "measures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "errors.h"

namespace handgrad::app {

const std::vector<Measure>& measures() {
  static const std::vector<Measure> list = {
      {"train_accuracy", "train accuracy %", 100, 2},
      {"validation_accuracy", "validation accuracy %", 100, 2},
      {"test_accuracy", "test accuracy %", 100, 2},
      {"train_loss", "train loss", 1, 4},
      {"validation_loss", "validation loss", 1, 4},
      {"test_loss", "test loss", 1, 4},
      {"train_cost", "train cost", 1, 4},
      {"validation_cost", "validation cost", 1, 4},
      {"l2_penalty", "L2 penalty", 1, 4},
      {"seconds", "seconds", 1, 2},
      {"steps", "steps", 1, 0},
      {"epochs", "epochs", 1, 1},
      {"steps_to_loss", "steps to the validation loss", 1, 0},
      {"epochs_to_loss", "epochs to the validation loss", 1, 2},
      {"roughness", "roughness of the cost curve", 1, 4},
  };
  return list;
}

const Measure& find_measure(const std::string& name, const std::string& place) {
  std::vector<std::string> names;
  for (const Measure& measure : measures()) {
    if (name == measure.name) return measure;
    names.emplace_back(measure.name);
  }
  throw Error(
      fmt::format("{}: there is no measure {}; must be one of {}", place, name, fmt::join(names, ", ")));
}

std::optional<double> value_of(const nlohmann::ordered_json& row, const Measure& measure) {
  const auto entry = row.find(measure.name);
  const auto fault = row.find("fault");
  if (fault != row.end() && fault->is_string() && !fault->get_ref<const std::string&>().empty()) {
    return std::nullopt;
  }
  if (entry == row.end() || !entry->is_number() || !std::isfinite(entry->get<double>())) return std::nullopt;
  return measure.scale * entry->get<double>();
}

std::string shown(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  const double magnitude = std::abs(value);
  const bool small = magnitude > 0 && magnitude < 0.5 * std::pow(10, -digits);
  if (magnitude >= 1e7 || small) return fmt::format("{:.2g}", value);
  return fmt::format("{:.{}f}", value, magnitude >= 1e4 ? 0 : digits);
}

}  // namespace handgrad::app
