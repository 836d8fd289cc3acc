// A sweep as its report shows it: its names and settings, and figures as text.
#pragma once

#include <string>
#include <vector>

#include "report/report_blocks.h"
#include "sweep/findings.h"

namespace handgrad::app {

std::string text_of(const Json& json, const char* key);

// What the report calls the sweep.
std::string rules(const Sweep& sweep);

const Json& configurations(const Sweep& sweep);

// That of this name, which there must be.
const Json& configuration(const Sweep& sweep, const std::string& name);

// A setting of a configuration as text.
std::string setting(const Json& configuration, const char* key);

// "They differ in l2: 0 and 0.01.", of two configurations.
std::string differing_settings(const Json& a, const Json& b);

// Numbers those of the sweeps whose names would be the same on the page.
void make_rules_distinct(std::vector<SweepResults>& sweeps);

// How long the sweep took: "3.2 s", "12.4 minutes".
std::string duration_text(const Sweep& sweep);

// The configurations but variants; of one group.
std::vector<const Json*> without_variants(const Sweep& sweep);
std::vector<const Json*> of_group(const Sweep& sweep, const std::string& group);

bool has(const Sweep& sweep, const std::string& name);
bool has_variants(const Sweep& sweep);

// By its name.
Measure measure(const std::string& name);

// What those of the measures mean that a run of the sweep has, a sentence each.
std::vector<std::string> definitions(const Sweep& sweep, const std::vector<Measure>& measures);

// Which intervals the estimates have, and why some have none, a sentence each.
std::vector<std::string> interval_method(const std::vector<Estimate>& estimates);

// How differences over the seeds are tested, so many at once.
std::string test_method(std::size_t tests);

// "91.93 to 94.10": of all values; "–" of less than two.
std::string range_text(const std::vector<double>& values, int digits);

// With its sign; "–" where it is not finite.
std::string signed_text(double value, int digits);
std::string interval_text(const Estimate& estimate, int digits);

// "0.0012", "< 0.0001"; "–" for NaN.
std::string p_text(double p);

// Adds a row of an intervals block, unless there is nothing to show. series: "" where there is but one.
void add_interval(Json& rows, const std::string& name, const std::string& series, const Estimate& estimate);

}  // namespace handgrad::app
