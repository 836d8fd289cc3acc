// A sweep as its report shows it.
#include "report/sweep_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "handgrad/base/counted.h"

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

const Json& configuration(const Sweep& sweep, const std::string& name) {
  const Json& list = configurations(sweep);
  return *std::find_if(list.begin(), list.end(), [&](const Json& c) { return text_of(c, "name") == name; });
}

std::string differing_settings(const Json& a, const Json& b) {
  std::vector<std::string> differences;
  for (const auto& [key, value] : a.at("config").items()) {
    if (value == b.at("config").at(key)) continue;
    differences.push_back(
        fmt::format("{}: {} and {}", key, setting(a, key.c_str()), setting(b, key.c_str())));
  }
  if (differences.empty()) return "Their settings are the same.";
  return fmt::format("They differ in {}.", fmt::join(differences, "; "));
}

void make_rules_distinct(std::vector<SweepResults>& sweeps) {
  std::set<std::string> taken;
  for (Sweep& sweep : sweeps) {
    const std::string name = rules(sweep);
    for (int number = 2; !taken.insert(file_name_of(rules(sweep))).second; ++number) {
      sweep.plan["rules"] = fmt::format("{} ({})", name, number);
    }
  }
}

std::string duration_text(const Sweep& sweep) {
  const auto seconds = sweep.plan.at("seconds").get<double>();
  return seconds < 60 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.1f} minutes", seconds / 60);
}

Measure measure(const std::string& name) {
  return find_measure(name, "report");
}

std::vector<const Json*> without_variants(const Sweep& sweep) {
  std::vector<const Json*> list;
  for (const Json& c : configurations(sweep)) {
    if (text_of(c, "name") == text_of(c, "experiment")) list.push_back(&c);
  }
  return list;
}

std::vector<const Json*> of_group(const Sweep& sweep, const std::string& group) {
  std::vector<const Json*> list = without_variants(sweep);
  list.erase(
      std::remove_if(list.begin(), list.end(), [&](const Json* c) { return text_of(*c, "group") != group; }),
      list.end());
  return list;
}

bool has(const Sweep& sweep, const std::string& name) {
  const Json& list = configurations(sweep);
  return std::any_of(list.begin(), list.end(), [&](const Json& c) { return text_of(c, "name") == name; });
}

bool has_variants(const Sweep& sweep) {
  return without_variants(sweep).size() < configurations(sweep).size();
}

std::vector<std::string> definitions(const Sweep& sweep, const std::vector<Measure>& measures) {
  std::vector<std::string> sentences;
  for (const Measure& m : measures) {
    const bool known = std::find(sentences.begin(), sentences.end(), m.definition) != sentences.end();
    const bool there = std::any_of(sweep.rows.begin(), sweep.rows.end(),
                                   [&](const Json& row) { return value_of(row, m).has_value(); });
    if (!there || known || *m.definition == '\0') continue;
    sentences.emplace_back(m.definition);
    if (std::string(m.name) == "steps_to_loss" || std::string(m.name) == "epochs_to_loss") {
      sentences.push_back(fmt::format("That loss is {}.", sweep.plan.at("loss").get<double>()));
    }
  }
  return sentences;
}

std::vector<std::string> interval_method(const std::vector<Estimate>& estimates) {
  std::vector<std::string> sentences;
  if (std::any_of(estimates.begin(), estimates.end(), has_interval)) {
    sentences.emplace_back(
        "Intervals are 95 % intervals of the mean over the seeds by Student's t, cut off where no figure of "
        "the kind can be: an accuracy below 0 or above 100 %, all others below 0. The true mean cannot be "
        "there either, so that the cut interval covers it as often as the whole one.");
  }
  if (std::any_of(estimates.begin(), estimates.end(),
                  [](const Estimate& e) { return e.count > 0 && !has_interval(e); })) {
    sentences.emplace_back(
        "A mean without an interval is of one run, or of runs that all came to the same figure: neither "
        "tells how far the next run may be off.");
  }
  return sentences;
}

std::string test_method(std::size_t tests) {
  return fmt::format(
      "Differences are taken seed by seed; p is of the paired t test, or of the signs alone where the seeds "
      "do not differ, corrected for {} by Holm's method.",
      counted(tests, "test"));
}

std::string range_text(const std::vector<double>& values, int digits) {
  if (values.size() < 2) return "–";
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
  Json row = {{"name", name}, {"mean", e.mean}};
  if (!series.empty()) row["series"] = series;
  if (std::isfinite(e.low)) {
    row["low"] = e.low;
    row["high"] = e.high;
  }
  rows.push_back(row);
}

std::string setting(const Json& configuration, const char* key) {
  const Json& value = configuration.at("config").at(key);
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace handgrad::app
