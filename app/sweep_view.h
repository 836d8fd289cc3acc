// A sweep as its report shows it: its names and settings, and figures as text.
#pragma once

#include <string>
#include <vector>

#include "findings.h"
#include "report_blocks.h"

namespace handgrad::app {

std::string text_of(const Json& json, const char* key);

// What the report calls the sweep.
std::string rules(const Sweep& sweep);

const Json& configurations(const Sweep& sweep);

// A setting of a configuration as text.
std::string setting(const Json& configuration, const char* key);

// The configurations of a group, variants apart.
std::vector<const Json*> of_group(const Sweep& sweep, const std::string& group);

bool has(const Sweep& sweep, const std::string& name);
bool has_variants(const Sweep& sweep);

// By its name.
const Measure& measure(const std::string& name);

// "91.93 to 94.10": of all values.
std::string range_text(const std::vector<double>& values, int digits);

// With its sign; "–" where it is not finite.
std::string signed_text(double value, int digits);
std::string interval_text(const Estimate& estimate, int digits);

// "0.0012", "< 0.0001"; "–" for NaN.
std::string p_text(double p);

// Adds a row of an intervals block, unless there is nothing to show.
void add_interval(Json& rows, const std::string& name, const std::string& series, const Estimate& estimate);

}  // namespace handgrad::app
