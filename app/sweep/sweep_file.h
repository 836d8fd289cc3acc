// The TOML file of a sweep: fixed settings, a grid, named experiments, claims.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/json.h"
#include "cli/options.h"
#include "cli/settings.h"

namespace handgrad::app {

constexpr std::int64_t most_seeds = 100000;
constexpr std::size_t most_configurations = 10000;

// A published list of the standard deviations of the weights, layer by layer; no measure of a run.
constexpr const char* published_weights = "weight_deviation";

struct SweepConfiguration {  // NOLINT(bugprone-exception-escape): of the JSON library's move
  std::string name;
  std::string group;       // "grid" or "experiment"
  std::string experiment;  // of a variant: the experiment that it varies; else the name
  Settings settings;
  Json config;  // as config.json of a run
};

// A sum over configurations, coefficient by coefficient, that is above 0 where the claim is right.
struct Claim {
  std::string text;
  std::string measure;
  std::vector<std::pair<std::string, double>> contrast;
};

struct SweepFile {  // NOLINT(bugprone-exception-escape): of the JSON library's move
  std::string title;
  std::string rules;  // what the report calls this sweep where it stands beside others
  std::int64_t seeds = 10;
  std::optional<double> loss;  // to which steps and epochs are counted
  std::vector<SweepConfiguration> configurations;
  std::vector<Claim> claims;
  std::vector<std::string> claims_left_out;  // a flag took the place of an axis that they name values of
  Json published;                            // by configuration and measure: figures to set beside ours
  Json reference;  // by configuration: test accuracies in percent of other runs by the same rules
  std::vector<std::string> compared_weights;  // none, or two experiments whose weights the report subtracts
};

// What a value of an axis is called: "batch 32", "λ 0.01".
std::string setting_label(const std::string& key, const std::string& value);

// Reads the file, and the one that it names as its base. `options`: the flags of the command line, which win
// over what the file says. Throws FileError, UsageError for a setting that is wrong, Error for other faults;
// the message names file, place and fix.
SweepFile read_sweep_file(const std::string& file, const Options& options);

// The same of a file's text, which can name no base.
SweepFile parse_sweep_file(std::string_view text, const std::string& file, const Options& options);

}  // namespace handgrad::app
