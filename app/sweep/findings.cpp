// What a sweep found.
#include "sweep/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "handgrad/base/counted.h"

namespace handgrad::app {

namespace {

std::string name_of(const Json& configuration) {
  return configuration.at("name").get<std::string>();
}

std::string p_phrase(double p) {
  return p < 0.0001 ? "p < 0.0001" : fmt::format("p = {:.4f}", p);
}

Finding::Verdict judge(const Estimate& difference, double p_value) {
  if (!(p_value < significance)) return Finding::Verdict::not_distinguishable;
  return difference.mean > 0 ? Finding::Verdict::supported : Finding::Verdict::contradicted;
}

std::string sentence_of(const Finding& finding) {
  const int digits = finding.measure.digits;
  const Estimate& difference = finding.difference;
  if (difference.count < 2) {
    return fmt::format("{}: not distinguishable, {} with all of its runs {} too few.", finding.claim,
                       counted(difference.count, "seed"), difference.count == 1 ? "is" : "are");
  }
  const std::string interval =
      has_interval(difference)
          ? fmt::format("95 % interval {:+.{}f} to {:+.{}f}", difference.low, digits, difference.high, digits)
          : "the same with all seeds";
  return fmt::format("{}: {} at {}. Difference in {}: {:+.{}f}, {}, {} after Holm{}.", finding.claim,
                     to_string(finding.verdict), counted(difference.count, "seed"), finding.measure.title,
                     difference.mean, digits, interval, p_phrase(finding.p_value),
                     finding.missing == 0
                         ? ""
                         : fmt::format("; {} left out, of which a run failed, is not done or never got there",
                                       counted(finding.missing, "seed")));
}

bool is_cut_off(const Estimate& e) {
  const double above = e.high - e.mean;
  const double below = e.mean - e.low;
  return has_interval(e) && std::abs(above - below) > 1e-9 * (above + below);
}

bool failed(const Json& row) {
  return !row.at("fault").get_ref<const std::string&>().empty();
}

// What the sums of a contrast can be at all.
Range possible_sums(const SweepTable::Contrast& contrast, const Range& of_value) {
  Range sums{0, 0};
  for (const auto& [name, coefficient] : contrast) {
    if (coefficient == 0) continue;
    const auto [low, high] = std::minmax({coefficient * of_value.low, coefficient * of_value.high});
    sums.low += low;
    sums.high += high;
  }
  return sums;
}

// In characters, not bytes.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, width_of(text)), ' ');
}

// Text in columns, the first row on top; a column with nothing in the rows below is left out.
void print_columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::string> lines(rows.size());
  for (std::size_t column = 0; column < rows.front().size(); ++column) {
    std::size_t width = 0;
    for (const auto& row : rows) width = std::max(width, width_of(row[column]));
    if (std::all_of(rows.begin() + 1, rows.end(), [&](const auto& row) { return row[column] == "–"; }))
      continue;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      lines[i] += (column == 0 ? "" : "  ") + padded(rows[i][column], width);
    }
  }
  for (const std::string& line : lines) fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
}

}  // namespace

SweepTable::SweepTable(const Sweep& sweep) {
  for (const Json& configuration : sweep.plan.at("configurations")) {
    by_configuration_.emplace_back(name_of(configuration), std::vector<const Json*>());
  }
  for (const Json& row : sweep.rows) {
    const auto name = row.at("configuration").get<std::string>();
    for (auto& [configuration, rows] : by_configuration_) {
      if (configuration == name) rows.push_back(&row);
    }
  }
}

const std::vector<const Json*>& SweepTable::rows(const std::string& configuration) const {
  static const std::vector<const Json*> none;
  for (const auto& [name, rows] : by_configuration_) {
    if (name == configuration) return rows;
  }
  return none;
}

std::vector<double> SweepTable::values(const std::string& configuration, const Measure& measure) const {
  std::vector<double> values;
  for (const Json* row : rows(configuration)) {
    if (const auto value = value_of(*row, measure)) values.push_back(*value);
  }
  return values;
}

Estimate SweepTable::estimate(const std::string& configuration, const Measure& measure) const {
  return handgrad::estimate(values(configuration, measure), measure.possible);
}

std::vector<double> SweepTable::differences(const Contrast& contrast, const Measure& measure) const {
  std::vector<double> sums;
  for (const Json* first : rows(contrast.front().first)) {
    double sum = 0;
    double magnitude = 0;
    bool complete = true;
    for (const auto& [name, coefficient] : contrast) {
      const auto& others = rows(name);
      const auto same_seed = std::find_if(others.begin(), others.end(), [&](const Json* row) {
        return row->at("seed") == first->at("seed");
      });
      const auto value = same_seed == others.end() ? std::optional<double>() : value_of(**same_seed, measure);
      complete = complete && value.has_value();
      sum += coefficient * value.value_or(0);
      magnitude += std::abs(coefficient * value.value_or(0));
    }
    if (complete) sums.push_back(std::abs(sum) > 1e-12 * magnitude ? sum : 0);
  }
  return sums;
}

Estimate SweepTable::difference(const Contrast& contrast, const Measure& measure) const {
  return handgrad::estimate(differences(contrast, measure), possible_sums(contrast, measure.possible));
}

const char* to_string(Finding::Verdict verdict) {
  switch (verdict) {
    case Finding::Verdict::supported:
      return "supported";
    case Finding::Verdict::contradicted:
      return "contradicted";
    case Finding::Verdict::not_distinguishable:
      return "not distinguishable";
  }
  return "";
}

std::vector<Finding> find(const SweepResults& sweep) {
  const SweepTable& table = sweep.table;
  std::vector<Finding> found;
  std::vector<double> p_values;
  for (const Json& claim : sweep.plan.at("claims")) {
    const auto text = claim.at("text").get<std::string>();
    const Measure measure = find_measure(claim.at("measure").get<std::string>(), text);
    SweepTable::Contrast contrast;
    for (const auto& [name, coefficient] : claim.at("contrast").items()) {
      contrast.emplace_back(name, coefficient.get<double>());
    }
    Finding finding;
    finding.claim = text;
    finding.measure = measure;
    finding.difference = table.difference(contrast, measure);
    finding.missing = sweep.plan.at("seeds").size() - finding.difference.count;
    p_values.push_back(t_test(table.differences(contrast, measure)));
    found.push_back(finding);
  }
  const std::vector<double> corrected = holm(p_values);
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i].p_value = corrected[i];
    found[i].verdict = judge(found[i].difference, corrected[i]);
    found[i].sentence = sentence_of(found[i]);
  }
  return found;
}

bool all_failed(const Sweep& sweep) {
  return !sweep.rows.empty() && std::all_of(sweep.rows.begin(), sweep.rows.end(), failed);
}

std::vector<std::string> failures(const SweepResults& sweep) {
  std::vector<std::string> sentences;
  if (all_failed(sweep)) {
    sentences.emplace_back("Every run left the finite numbers, so that there are no means.");
  }
  const SweepTable& table = sweep.table;
  for (const Json& configuration : sweep.plan.at("configurations")) {
    const std::string name = name_of(configuration);
    const std::vector<const Json*>& rows = table.rows(name);
    const auto count = std::count_if(rows.begin(), rows.end(), [](const Json* row) { return failed(*row); });
    if (count == 0) continue;
    const Json& first =
        **std::find_if(rows.begin(), rows.end(), [](const Json* row) { return failed(*row); });
    sentences.push_back(fmt::format("{}: {} of {} left out of all means; seed {}, because at {}.", name,
                                    count, counted(rows.size(), "run"), first.at("seed").get<std::uint64_t>(),
                                    first.at("fault").get<std::string>()));
  }
  const std::size_t planned = sweep.plan.at("seeds").size() * sweep.plan.at("configurations").size();
  if (sweep.rows.size() < planned) {
    sentences.push_back(fmt::format("The sweep is not finished: {} of {} are there.", sweep.rows.size(),
                                    counted(planned, "run")));
  }
  return sentences;
}

bool has_interval(const Estimate& estimate) {
  return std::isfinite(estimate.low) && std::isfinite(estimate.high);
}

std::string shown(const Estimate& estimate, int digits) {
  std::string mean = shown(estimate.mean, digits);
  if (!has_interval(estimate)) return mean;
  if (is_cut_off(estimate)) {
    return fmt::format("{} ({} to {})", mean, shown(estimate.low, digits), shown(estimate.high, digits));
  }
  return fmt::format("{} ± {}", mean, shown(estimate.high - estimate.mean, digits));
}

std::string legend(const std::vector<Estimate>& estimates) {
  std::size_t most = 0;
  for (const Estimate& e : estimates) most = std::max(most, e.count);
  if (most == 0) return "";
  if (most == 1) return "Of one run each, without intervals";
  if (std::none_of(estimates.begin(), estimates.end(), has_interval)) {
    return "Mean over the seeds, which do not differ";
  }
  const bool cut_off = std::any_of(estimates.begin(), estimates.end(), is_cut_off);
  return fmt::format("Mean over the seeds ± half of its 95 % interval{}",
                     cut_off ? ", or its ends where it is cut off" : "");
}

void print_findings(const SweepResults& sweep) {
  const SweepTable& table = sweep.table;
  const std::vector<Measure> shown_measures = {find_measure("validation_accuracy", ""),
                                               find_measure("test_accuracy", ""), find_measure("steps", "")};
  std::vector<Estimate> estimates;
  std::vector<std::vector<std::string>> rows = {{"", "runs", "validation %", "test %", "steps"}};
  for (const Json& configuration : sweep.plan.at("configurations")) {
    const std::string name = name_of(configuration);
    rows.push_back({name, fmt::format("{:>4}", table.rows(name).size())});
    for (const Measure& measure : shown_measures) {
      estimates.push_back(table.estimate(name, measure));
      rows.back().push_back(shown(estimates.back(), measure.digits));
    }
  }
  const std::string figures = legend(estimates);
  fmt::print("\n{}", figures.empty() ? "" : figures + ":\n");
  print_columns(rows);
  fmt::print("\n");
  for (const Finding& finding : find(sweep)) fmt::print("{}\n", finding.sentence);
  for (const std::string& sentence : failures(sweep)) fmt::print("{}\n", sentence);
}

}  // namespace handgrad::app
