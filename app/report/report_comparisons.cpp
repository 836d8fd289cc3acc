// The sections of a report that set runs beside runs.
#include "report/report_comparisons.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "handgrad/base/counted.h"
#include "handgrad/train/compat.h"

namespace handgrad::app {

namespace {

// A variant beside the experiment that it varies.
struct Variation {
  std::string name, experiment;
  Estimate difference;
  double p_value = 0;  // corrected
};

std::vector<Variation> variations(const Sweep& sweep, const SweepTable& table, const Measure& measure) {
  std::vector<Variation> list;
  std::vector<double> p_values;
  for (const Json& c : configurations(sweep)) {
    const std::string name = text_of(c, "name");
    const std::string experiment = text_of(c, "experiment");
    if (name == experiment || !has(sweep, experiment)) continue;
    const SweepTable::Contrast contrast = {{name, 1}, {experiment, -1}};
    list.push_back({name, experiment, table.difference(contrast, measure)});
    p_values.push_back(t_test(table.differences(contrast, measure)));
  }
  const std::vector<double> corrected = holm(p_values);
  for (std::size_t i = 0; i < list.size(); ++i) list[i].p_value = corrected[i];
  return list;
}

// Whether the fault is switched on and does something.
bool has_switch(const Json& configuration, const CompatSwitch& fault) {
  const std::string list = setting(configuration, "compat");
  if (fault.needs_batch_norm && setting(configuration, "batch_norm") == "false") return false;
  return list == "notebook" ||
         fmt::format(",{},", list).find(fmt::format(",{},", fault.name)) != std::string::npos;
}

std::string values_text(const std::vector<double>& values, int digits) {
  return values.size() == 1 ? shown(values.front(), digits) : range_text(values, digits);
}

}  // namespace

Json variants_section(const SweepResults& sweep) {
  const std::string id = file_name_of(rules(sweep));
  const SweepTable& table = sweep.table;
  const Measure test = measure("test_accuracy");
  const std::vector<Variation> list = variations(sweep, table, test);
  if (list.empty()) return {};
  Json chart = Json::array();
  Json rows = Json::array();
  std::vector<std::string> text;
  std::size_t tested = 0;
  for (const Variation& v : list) {
    const std::string variant = v.name.substr(std::min(v.name.size(), v.experiment.size() + 2));
    add_interval(chart, variant, v.experiment, v.difference);
    rows.push_back({v.experiment, variant, shown(table.estimate(v.name, test), test.digits),
                    range_text(table.values(v.name, test), test.digits),
                    signed_text(v.difference.mean, test.digits), interval_text(v.difference, test.digits),
                    p_text(v.p_value)});
    if (std::isfinite(v.p_value)) ++tested;
    if (v.p_value < significance) {
      text.push_back(fmt::format("{}, {}: {} points of test accuracy{}.", v.experiment, variant,
                                 signed_text(v.difference.mean, test.digits),
                                 has_interval(v.difference)
                                     ? fmt::format(" ({})", interval_text(v.difference, test.digits))
                                     : " with every seed"));
    }
  }
  if (tested == 0) {
    text.emplace_back("No difference can be tested: that takes two seeds with which both runs stay finite.");
  } else if (text.empty()) {
    text.push_back(fmt::format("None of {} is distinguishable from 0 at this number of seeds.",
                               counted(tested, "difference")));
  }
  Json blocks = Json::array();
  blocks.push_back(intervals_block("variants-test-" + id, "What each changes in test accuracy",
                                   "The difference to the same experiment without it, seed by seed: left of "
                                   "zero it costs accuracy.",
                                   "difference in test accuracy, points", true, chart));
  blocks.push_back(table_block(
      "The same as numbers", tested > 0 ? test_method(tested) : "Differences are taken seed by seed.",
      {text_column("experiment"), text_column("with"), number_column("test %"), number_column("from … to"),
       number_column("difference"), number_column("95 % interval"), number_column("p")},
      rows));
  return section("variants-" + id, "Variants of the experiments, " + rules(sweep), text, blocks);
}

Json switches_section(const std::vector<SweepResults>& sweeps) {
  Json rows = Json::array();
  for (const CompatSwitch& fault : compat_switches()) {
    const auto in_sweep = [&](const Sweep& sweep) {
      const Json& list = configurations(sweep);
      return std::any_of(list.begin(), list.end(), [&](const Json& c) { return has_switch(c, fault); });
    };
    if (std::any_of(sweeps.begin(), sweeps.end(), in_sweep)) rows.push_back({fault.name, fault.fault});
  }
  return section("switches", "Faults that were switched on", {},
                 Json::array({table_block("What the switches of --compat do",
                                          "Those that a configuration of this report has.",
                                          {text_column("switch"), text_column("what it does")}, rows)}));
}

Json reference_section(const SweepResults& sweep) {
  const SweepTable& table = sweep.table;
  const Measure test = measure("test_accuracy");
  std::vector<std::string> names;
  std::vector<std::vector<double>> theirs;
  std::vector<double> p_values;
  for (const auto& [name, figures] : sweep.plan.at("reference").items()) {
    if (!has(sweep, name)) continue;  // a flag took the place of its axis
    const std::vector<double> ours = table.values(name, test);
    names.push_back(name);
    theirs.push_back(figures.get<std::vector<double>>());
    p_values.push_back(ours.empty() ? std::nan("") : rank_sum_test(theirs.back(), ours));
  }
  if (names.empty()) return {};
  const std::vector<double> corrected = holm(p_values);
  Json rows = Json::array();
  std::vector<std::string> differ;
  std::vector<std::string> without_runs;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (corrected[i] < significance) differ.push_back(names[i]);
    if (std::isnan(corrected[i])) without_runs.push_back(names[i]);
    const std::vector<double> ours = table.values(names[i], test);
    rows.push_back({names[i], std::to_string(theirs[i].size()), values_text(theirs[i], test.digits),
                    std::to_string(ours.size()), values_text(ours, test.digits), p_text(p_values[i]),
                    p_text(corrected[i])});
  }
  std::vector<std::string> text;
  if (!differ.empty()) {
    text.push_back(
        fmt::format("The level of the other runs differs from ours in {}.", fmt::join(differ, "; ")));
  } else if (without_runs.size() < names.size()) {
    text.emplace_back(
        "The level of the other runs is not distinguishable from ours: they could have come from our "
        "distribution.");
  }
  if (!without_runs.empty()) {
    text.push_back(fmt::format("Not compared, because no run of ours stayed finite: {}.",
                               fmt::join(without_runs, "; ")));
  }
  return section(
      "reference-" + file_name_of(rules(sweep)), "Other runs by the same rules, " + rules(sweep), text,
      Json::array({table_block("Test accuracy %, of other runs and ours",
                               "An exact rank sum test for each configuration, corrected by Holm's method.",
                               {text_column("configuration"), number_column("other runs"),
                                number_column("theirs"), number_column("our runs"), number_column("ours"),
                                number_column("p"), number_column("p, corrected")},
                               rows)}));
}

}  // namespace handgrad::app
