// What a sweep found: means with intervals, the claims put to the test, the runs that failed.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "handgrad/base/statistics.h"
#include "sweep/measures.h"
#include "sweep/sweep_directory.h"

namespace handgrad::app {

// The rows of a sweep by configuration and seed.
class SweepTable {
 public:
  // Coefficients by configuration.
  using Contrast = std::vector<std::pair<std::string, double>>;

  explicit SweepTable(const Sweep& sweep);

  // Of the runs that did not fail, in the order of the seeds.
  std::vector<double> values(const std::string& configuration, const Measure& measure) const;
  Estimate estimate(const std::string& configuration, const Measure& measure) const;

  // Σ coefficient · value, for each seed with which all of the configurations have the value; a sum that is
  // no more than what rounding leaves is 0.
  std::vector<double> differences(const Contrast& contrast, const Measure& measure) const;
  Estimate difference(const Contrast& contrast, const Measure& measure) const;

  const std::vector<const Json*>& rows(const std::string& configuration) const;

 private:
  std::vector<std::pair<std::string, std::vector<const Json*>>> by_configuration_;
};

// A sweep that was read, and its table.
struct SweepResults : Sweep {
  explicit SweepResults(Sweep sweep) : Sweep(std::move(sweep)), table(*this) {}
  SweepResults(SweepResults&&) noexcept =
      default;  // the rows stay where they are, and the table points to them
  SweepResults(const SweepResults&) = delete;
  SweepResults& operator=(const SweepResults&) = delete;

  SweepTable table;
};

struct Finding {
  enum class Verdict { supported, contradicted, not_distinguishable };

  std::string claim;
  Measure measure{};
  Estimate difference;
  std::size_t missing = 0;  // seeds of which not every run has the measure
  double p_value = 0;       // corrected for the number of claims
  Verdict verdict = Verdict::not_distinguishable;
  std::string sentence;
};

// "supported", "contradicted", "not distinguishable".
const char* to_string(Finding::Verdict verdict);

constexpr double significance = 0.05;

// One per claim, p values by paired t tests with Holm's correction; see t_test for differences that are all
// alike.
std::vector<Finding> find(const SweepResults& sweep);

// Whether there are runs, and all of them left the finite numbers.
bool all_failed(const Sweep& sweep);

// A sentence for each configuration of which runs failed, and one where runs are missing.
std::vector<std::string> failures(const SweepResults& sweep);

bool has_interval(const Estimate& estimate);

// "94.73 ± 0.15": the mean and half the 95 % interval; "97.10 (92.35 to 100.00)" where the interval is cut
// off and so has no halves; the mean alone where there is no interval.
std::string shown(const Estimate& estimate, int digits);

// What the figures are that `shown` wrote of these: "Mean over the seeds ± half of …"; "" where all are of
// none.
std::string legend(const std::vector<Estimate>& estimates);

// Means, claims and failures on stdout.
void print_findings(const SweepResults& sweep);

}  // namespace handgrad::app
