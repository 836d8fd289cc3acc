// The directory of a training run: config.json, metrics.jsonl, model.pt and summary.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace handgrad::app {

using Json = nlohmann::ordered_json;

class RunDirectory {
 public:
  // Begins a run with this config.json. `out` empty: the next free runs/NNN. Throws FileError when the
  // directory cannot be made, or holds anything; with `overwrite` a run in it is removed first.
  RunDirectory(const std::string& out, bool overwrite, const Json& config);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model_path(std::int64_t replica) const;

  void write_json(const std::string& name, const Json& json) const;
  void append_metrics(const Json& record);

 private:
  std::filesystem::path path_;
  std::ofstream metrics_;
};

// Makes a directory and those above it. Throws FileError.
void make_directories(const std::filesystem::path& path);

// Makes the next free directory runs/NNN. Throws FileError.
std::filesystem::path next_free_run();

// Where network `replica` of a run is saved: "model.pt" for the first, then "model-1.pt", ….
std::string model_file_name(std::int64_t replica);

// JSON as text; bytes that are not UTF-8, as a path may have, are replaced. indent −1: on one line.
std::string to_text(const Json& json, int indent);

// A run's JSON file. Throws FileError or ModelError.
Json read_json(const std::filesystem::path& path);

}  // namespace handgrad::app
