// The sections of a report that set runs beside runs: variants of experiments, and others by the same rules.
#include "report_comparisons.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compat.h"

namespace handgrad::app {

Json variants_section(const Sweep& sweep) {
  if (!has_variants(sweep)) return {};
  const std::string id = file_name_of(rules(sweep));
  const SweepTable table(sweep);
  const Measure& test = measure("test_accuracy");
  struct Row {
    std::string name, experiment;
    Estimate difference;
  };
  std::vector<Row> list;
  std::vector<double> p_values;
  for (const Json& c : configurations(sweep)) {
    const std::string name = text_of(c, "name");
    const std::string experiment = text_of(c, "experiment");
    if (name == experiment || !has(sweep, experiment)) continue;
    const std::vector<double> differences = table.contrast({{name, 1}, {experiment, -1}}, test);
    list.push_back({name, experiment, estimate(differences)});
    p_values.push_back(t_test(differences));
  }
  const std::vector<double> corrected = holm(p_values);
  Json chart = Json::array();
  Json rows = Json::array();
  std::vector<std::string> text;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Row& row = list[i];
    const std::string variant = row.name.substr(std::min(row.name.size(), row.experiment.size() + 2));
    add_interval(chart, variant, row.experiment, row.difference);
    rows.push_back({row.experiment, variant, shown(table.estimate(row.name, test), 2),
                    range_text(table.values(row.name, test), 2), signed_text(row.difference.mean, 2),
                    interval_text(row.difference, 2), p_text(corrected[i])});
    if (corrected[i] < significance) {
      text.push_back(fmt::format("{}, {}: {:+.2f} points of test accuracy ({:+.2f} to {:+.2f}).",
                                 row.experiment, variant, row.difference.mean, row.difference.low,
                                 row.difference.high));
    }
  }
  if (text.empty()) text.emplace_back("No difference is distinguishable at this number of seeds.");
  Json blocks = Json::array();
  blocks.push_back(
      intervals_block("variants-test-" + id, "What each changes in test accuracy",
                      "The difference to the same experiment without it, seed by seed: left of zero "
                      "it costs accuracy. Whiskers are 95 % intervals.",
                      "difference in test accuracy, points", true, chart));
  blocks.push_back(table_block(
      "The same as numbers", "p is of the paired t test, corrected for the number of rows by Holm's method.",
      {text_column("experiment"), text_column("with"), number_column("test %"), number_column("from … to"),
       number_column("difference"), number_column("95 % interval"), number_column("p")},
      rows));
  Json faults = Json::array();
  for (const CompatSwitch& fault : compat_switches) faults.push_back({fault.name, fault.fault});
  blocks.push_back(table_block("What the switches of --compat do",
                               "Each is a fault of the described notebook.",
                               {text_column("switch"), text_column("what it does")}, faults));
  return section("variants-" + id, "The price of each fault, " + rules(sweep), text, blocks);
}

Json reference_section(const Sweep& sweep) {
  const Json& reference = sweep.plan.at("reference");
  if (reference.empty()) return {};
  const SweepTable table(sweep);
  const Measure& test = measure("test_accuracy");
  std::vector<std::string> names;
  std::vector<double> p_values;
  for (const auto& [name, figures] : reference.items()) {
    const std::vector<double> ours = table.values(name, test);
    names.push_back(name);
    p_values.push_back(ours.empty() ? std::nan("") : rank_sum_test(figures.get<std::vector<double>>(), ours));
  }
  const std::vector<double> corrected = holm(p_values);
  Json rows = Json::array();
  bool one_distribution = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto figures = reference[names[i]].get<std::vector<double>>();
    one_distribution = one_distribution && corrected[i] >= significance;
    rows.push_back({names[i], std::to_string(figures.size()), range_text(figures, 2),
                    range_text(table.values(names[i], test), 2), p_text(p_values[i]), p_text(corrected[i])});
  }
  const std::string verdict = one_distribution
                                  ? "The level of the other runs is not distinguishable from ours: they "
                                    "could have come from our distribution."
                                  : "At least one experiment differs in level, or could not be compared: the "
                                    "other runs are not shown to be of our distribution.";
  return section(
      "reference-" + file_name_of(rules(sweep)), "Other runs by the same rules, " + rules(sweep), {verdict},
      Json::array({table_block(
          "Test accuracy %", "An exact rank sum test for each experiment, corrected by Holm's method.",
          {text_column("experiment"), number_column("other runs"), number_column("their range"),
           number_column("our range"), number_column("p"), number_column("p, corrected")},
          rows)}));
}

}  // namespace handgrad::app
