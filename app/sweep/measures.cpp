// What is measured of each run.
#include "sweep/measures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "handgrad/base/errors.h"

namespace handgrad::app {

namespace {

constexpr Range percent = {0, 100};
constexpr Range not_negative = {0, Range().high};

constexpr const char* cost =
    "Cost is data loss plus L2 penalty: the train cost that of the last recorded batch, the validation cost "
    "that of the images that decide when to stop.";
constexpr const char* to_loss =
    "Steps and epochs to a validation loss are read off the straight lines between the evaluations; a run "
    "that never gets there has none.";

}  // namespace

const std::vector<Measure>& measures() {
  static const std::vector<Measure> list = {
      {"train_accuracy", "train accuracy %", 100, 2, percent, ""},
      {"validation_accuracy", "validation accuracy %", 100, 2, percent, ""},
      {"test_accuracy", "test accuracy %", 100, 2, percent, ""},
      {"train_loss", "train loss", 1, 4, not_negative, ""},
      {"validation_loss", "validation loss", 1, 4, not_negative, ""},
      {"test_loss", "test loss", 1, 4, not_negative, ""},
      {"train_cost", "train cost", 1, 4, not_negative, cost},
      {"validation_cost", "validation cost", 1, 4, not_negative, cost},
      {"l2_penalty", "L2 penalty", 1, 4, not_negative, ""},
      {"seconds", "seconds", 1, 2, not_negative,
       "Seconds are training alone, shared out among the networks that train side by side."},
      {"steps", "steps", 1, 0, not_negative, ""},
      {"epochs", "epochs", 1, 1, not_negative, ""},
      {"steps_to_loss", "steps to the validation loss", 1, 0, not_negative, to_loss},
      {"epochs_to_loss", "epochs to the validation loss", 1, 2, not_negative, to_loss},
      {"roughness", "roughness of the cost curve", 1, 4, not_negative,
       "Roughness is the standard deviation of the differences between neighbours in the recorded losses of "
       "batches."},
  };
  return list;
}

Measure find_measure(const std::string& name, const std::string& place) {
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
