// A sweep as its report shows it.
#include "sweep_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace handgrad::app {

std::string text_of(const Json& json, const char* key) {
  return json.at(key).get<std::string>();
}

std::string rules(const Sweep& sweep) {
  return text_of(sweep.plan, "rules");
}

const Json& configurations(const Sweep& sweep) {
  return sweep.plan.at("configurations");
}

const Measure& measure(const std::string& name) {
  return find_measure(name, "report");
}

std::vector<const Json*> of_group(const Sweep& sweep, const std::string& group) {
  std::vector<const Json*> list;
  for (const Json& c : configurations(sweep)) {
    if (text_of(c, "group") == group && text_of(c, "name") == text_of(c, "experiment")) list.push_back(&c);
  }
  return list;
}

bool has(const Sweep& sweep, const std::string& name) {
  const Json& list = configurations(sweep);
  return std::any_of(list.begin(), list.end(), [&](const Json& c) { return text_of(c, "name") == name; });
}

bool has_variants(const Sweep& sweep) {
  const Json& list = configurations(sweep);
  return std::any_of(list.begin(), list.end(),
                     [](const Json& c) { return text_of(c, "name") != text_of(c, "experiment"); });
}

std::string range_text(const std::vector<double>& values, int digits) {
  if (values.empty()) return "–";
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{} to {}", shown(*least, digits), shown(*greatest, digits));
}

std::string signed_text(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:+.{}f}", value, digits) : "–";
}

std::string interval_text(const Estimate& e, int digits) {
  return std::isfinite(e.low)
             ? fmt::format("{} to {}", signed_text(e.low, digits), signed_text(e.high, digits))
             : "–";
}

std::string p_text(double p) {
  if (std::isnan(p)) return "–";
  return p < 0.0001 ? "< 0.0001" : fmt::format("{:.4f}", p);
}

void add_interval(Json& rows, const std::string& name, const std::string& series, const Estimate& e) {
  if (!std::isfinite(e.mean)) return;
  Json row = {{"name", name}, {"series", series}, {"mean", e.mean}};
  if (std::isfinite(e.low)) {
    row["low"] = e.low;
    row["high"] = e.high;
  }
  rows.push_back(row);
}

std::string setting(const Json& configuration, const char* key) {
  const Json& value = configuration.at("config").at(key);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace handgrad::app
