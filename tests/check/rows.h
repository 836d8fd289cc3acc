// The rows of a gradient report, by name.
#pragma once

#include <set>
#include <string>

#include "handgrad/check/gradcheck.h"

using Rows = std::set<std::string>;  // "pair: tensor"

inline std::string row(const handgrad::GradientCheck& check) {
  return check.pair + ": " + check.tensor;
}

inline Rows failing_rows(const handgrad::GradientReport& report) {
  Rows rows;
  for (const handgrad::GradientCheck& check : report.checks) {
    if (check.verdict() == handgrad::Verdict::failed) rows.insert(row(check));
  }
  return rows;
}
