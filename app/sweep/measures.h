// What is measured of each run of a sweep: the columns of results.csv that tables, claims and charts use.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/base/statistics.h"

namespace handgrad::app {

struct Measure {
  const char* name;        // the key in results.jsonl
  const char* title;       // with its unit
  double scale;            // what the file's number is shown times
  int digits;              // after the point
  Range possible;          // what it can be at all, as shown
  const char* definition;  // a sentence, or "" where the title says it all
};

const std::vector<Measure>& measures();

// Throws Error, beginning with `place`, where there is no such measure.
Measure find_measure(const std::string& name, const std::string& place);

// Of a row of results.jsonl, scaled; none where the run failed or has no such number.
std::optional<double> value_of(const nlohmann::ordered_json& row, const Measure& measure);

// "94.73"; a large number without digits after the point, one too large or small for that as "2.6e+08"; "–"
// for NaN.
std::string shown(double value, int digits);

}  // namespace handgrad::app
