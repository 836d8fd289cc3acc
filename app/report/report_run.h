// The sections of a report about single training runs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/report_blocks.h"

namespace handgrad::app {

// A run directory as it lies on disk.
struct TrainedRun {  // NOLINT(bugprone-exception-escape): of the JSON library's move
  std::filesystem::path path;
  std::string name;  // the directory's own
  Json config, summary;
  std::vector<Json> metrics;
};

// Throws FileError, or ModelError where the run did not finish or a file is damaged.
TrainedRun read_run(const std::filesystem::path& path);

// Numbers those of the runs that have the name of another.
void make_names_distinct(std::vector<TrainedRun>& runs);

// "run", or "run, network 3" of several.
std::string network_name(const TrainedRun& run, std::size_t replica);

// Those of all runs, each once.
std::string architectures(const std::vector<TrainedRun>& runs);

std::vector<std::string> run_headlines(const std::vector<TrainedRun>& runs);
Json run_sections(const std::vector<TrainedRun>& runs);
Json run_facts(const std::vector<TrainedRun>& runs);

}  // namespace handgrad::app
