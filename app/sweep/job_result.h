// What a training of a sweep leaves behind, and how it travels between processes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/json.h"

namespace handgrad::app {

struct JobResult {
  std::vector<Json> of_seeds;                               // {"seed", "runs"} of each seed
  std::vector<std::pair<std::string, std::string>> models;  // of configurations, by name: model.pt
};

std::string serialize(const JobResult& result);

// Throws LaunchError where these are not the bytes of a result.
JobResult parse_job_result(const std::string& bytes);

}  // namespace handgrad::app
