// What a sweep found: means with intervals, the claims put to the test, the runs that failed.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "measures.h"
#include "statistics.h"
#include "sweep_directory.h"

namespace handgrad::app {

// The rows of a sweep by configuration and seed.
class SweepTable {
 public:
  explicit SweepTable(const Sweep& sweep);

  // Of the runs that did not fail, in the order of the seeds.
  std::vector<double> values(const std::string& configuration, const Measure& measure) const;
  Estimate estimate(const std::string& configuration, const Measure& measure) const;

  // Σ coefficient · value, for each seed with which all of the configurations have the value.
  std::vector<double> contrast(const std::vector<std::pair<std::string, double>>& coefficients,
                               const Measure& measure) const;

  std::size_t runs(const std::string& configuration) const;
  const std::vector<const Json*>& rows(const std::string& configuration) const;

 private:
  std::vector<std::pair<std::string, std::vector<const Json*>>> by_configuration_;
};

struct Finding {
  enum class Verdict { supported, contradicted, not_distinguishable };

  std::string claim;
  std::string measure;  // its title
  Estimate difference;
  std::size_t missing = 0;  // seeds of which not every run has the measure
  double p_value = 0;       // corrected for the number of claims
  Verdict verdict = Verdict::not_distinguishable;
  int digits = 2;  // after the point, of the measure
  std::string sentence;
};

// "supported", "contradicted", "not distinguishable".
const char* to_string(Finding::Verdict verdict);

constexpr double significance = 0.05;

// One per claim, p values by paired t tests with Holm's correction.
std::vector<Finding> find(const Sweep& sweep);

// A sentence for each run that failed, and for those of a finished sweep that are missing.
std::vector<std::string> failures(const Sweep& sweep);

// "94.73 ± 0.15": the mean and half the 95 % interval; without ± for one run.
std::string shown(const Estimate& estimate, int digits);

// Means, claims and failures on stdout.
void print_findings(const Sweep& sweep);

}  // namespace handgrad::app
