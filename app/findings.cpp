// What a sweep found.
#include "findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "counted.h"

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
  const int digits = finding.digits;
  if (finding.difference.count < 2) {
    return fmt::format("{}: not distinguishable, too few seeds have all of its runs: {}.", finding.claim,
                       finding.difference.count);
  }
  return fmt::format(
      "{}: {} at {} seeds. Difference in {}: {:+.{}f}, 95 % interval {:+.{}f} to {:+.{}f}, {} after Holm{}.",
      finding.claim, to_string(finding.verdict), finding.difference.count, finding.measure,
      finding.difference.mean, digits, finding.difference.low, digits, finding.difference.high, digits,
      p_phrase(finding.p_value),
      finding.missing == 0 ? ""
                           : fmt::format("; {} left out, where a run failed or never got there",
                                         counted(finding.missing, "seed")));
}

// Columns of text are counted in characters, not bytes.
std::string padded(const std::string& text, std::size_t width) {
  const auto characters = static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  return text + std::string(width > characters ? width - characters : 0, ' ');
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
  return handgrad::estimate(values(configuration, measure));
}

std::vector<double> SweepTable::contrast(const std::vector<std::pair<std::string, double>>& coefficients,
                                         const Measure& measure) const {
  std::vector<double> sums;
  for (const Json* first : rows(coefficients.front().first)) {
    double sum = 0;
    bool complete = true;
    for (const auto& [name, coefficient] : coefficients) {
      const auto& others = rows(name);
      const auto same_seed = std::find_if(others.begin(), others.end(), [&](const Json* row) {
        return row->at("seed") == first->at("seed");
      });
      const auto value = same_seed == others.end() ? std::optional<double>() : value_of(**same_seed, measure);
      complete = complete && value.has_value();
      sum += coefficient * value.value_or(0);
    }
    if (complete) sums.push_back(sum);
  }
  return sums;
}

std::size_t SweepTable::runs(const std::string& configuration) const {
  return rows(configuration).size();
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

std::vector<Finding> find(const Sweep& sweep) {
  const SweepTable table(sweep);
  std::vector<Finding> found;
  std::vector<double> p_values;
  for (const Json& claim : sweep.plan.at("claims")) {
    const auto text = claim.at("text").get<std::string>();
    const Measure& measure = find_measure(claim.at("measure").get<std::string>(), text);
    std::vector<std::pair<std::string, double>> contrast;
    for (const auto& [name, coefficient] : claim.at("contrast").items()) {
      contrast.emplace_back(name, coefficient.get<double>());
    }
    const std::vector<double> differences = table.contrast(contrast, measure);
    Finding finding;
    finding.claim = text;
    finding.measure = measure.title;
    finding.digits = measure.digits;
    finding.difference = estimate(differences);
    finding.missing = sweep.plan.at("seeds").size() - differences.size();
    p_values.push_back(t_test(differences));
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

std::vector<std::string> failures(const Sweep& sweep) {
  std::vector<std::string> sentences;
  for (const Json& row : sweep.rows) {
    const auto fault = row.at("fault").get<std::string>();
    if (fault.empty()) continue;
    sentences.push_back(fmt::format("{}, seed {}: left out of all means, because at {}.",
                                    row.at("configuration").get<std::string>(),
                                    row.at("seed").get<std::uint64_t>(), fault));
  }
  const std::size_t planned = sweep.plan.at("seeds").size() * sweep.plan.at("configurations").size();
  if (sweep.rows.size() < planned) {
    sentences.push_back(fmt::format("The sweep is not finished: {} of {} are there.", sweep.rows.size(),
                                    counted(planned, "run")));
  }
  return sentences;
}

std::string shown(const Estimate& estimate, int digits) {
  std::string mean = shown(estimate.mean, digits);
  if (!std::isfinite(estimate.high)) return mean;
  return fmt::format("{} ± {}", mean, shown(estimate.high - estimate.mean, digits));
}

void print_findings(const Sweep& sweep) {
  const SweepTable table(sweep);
  fmt::print("\n{} runs  {}  {}  steps\n", padded("mean ± half of its 95 % interval", 48),
             padded("validation %", 14), padded("test %", 14));
  for (const Json& configuration : sweep.plan.at("configurations")) {
    const std::string name = name_of(configuration);
    const auto column = [&](const char* measure) {
      const Measure& m = find_measure(measure, "");
      return shown(table.estimate(name, m), m.digits);
    };
    fmt::print("{} {:>4}  {}  {}  {}\n", padded(name, 48), table.runs(name),
               padded(column("validation_accuracy"), 14), padded(column("test_accuracy"), 14),
               column("steps"));
  }
  fmt::print("\n");
  for (const Finding& finding : find(sweep)) fmt::print("{}\n", finding.sentence);
  for (const std::string& sentence : failures(sweep)) fmt::print("{}\n", sentence);
}

}  // namespace handgrad::app
