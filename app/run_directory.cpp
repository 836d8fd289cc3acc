// The directory of a training run.
#include "run_directory.h"

#include <fmt/format.h>

#include <regex>

#include "errors.h"
#include "file.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

constexpr const char* config_file = "config.json";

// Also what a run that was killed while it wrote may have left.
bool is_run_file(const fs::directory_entry& entry) {
  static const std::regex names(
      R"(config\.json|metrics\.jsonl|summary\.json|model(-[0-9]+)?\.pt|\.handgrad-.*\.tmp)");
  return entry.is_regular_file() && std::regex_match(entry.path().filename().string(), names);
}

void clear(const fs::path& path, bool overwrite) {
  const bool is_run = fs::exists(path / config_file);
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (!is_run || !is_run_file(entry)) {
      throw FileError(
          fmt::format("--out: {} holds {}, which is not part of a run; choose an empty or new directory",
                      path.string(), entry.path().filename().string()));
    }
    if (!overwrite) {
      throw FileError(fmt::format(
          "--out: {} already holds a run; choose another directory, or give --overwrite", path.string()));
    }
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) fs::remove(entry.path());
}

}  // namespace

void make_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    throw FileError(fmt::format("--out: cannot make the directory {} ({}); choose another", path.string(),
                                error.message()));
  }
}

fs::path next_free_run() {
  make_directories("runs");
  for (int number = 1;; ++number) {
    fs::path path = fs::path("runs") / fmt::format("{:03}", number);
    std::error_code error;
    // Making it is what claims it: two runs that start together get two directories.
    if (fs::create_directory(path, error)) return path;
    std::error_code unreadable;
    if (error && !fs::exists(path, unreadable))
      throw FileError(
          fmt::format("--out: cannot make the directory {} ({})", path.string(), error.message()));
  }
}

RunDirectory::RunDirectory(const std::string& out, bool overwrite, const Json& config) : path_(out) {
  if (out.empty()) {
    path_ = next_free_run();
  } else {
    make_directories(path_);
    if (!fs::is_directory(path_))
      throw FileError(fmt::format("--out: {} is a file; choose a directory", out));
    clear(path_, overwrite);
  }
  write_json(config_file, config);
  metrics_.open(path_ / "metrics.jsonl");
  if (!metrics_)
    throw FileError(fmt::format("--out: cannot write into {}; choose another directory", path_.string()));
}

fs::path RunDirectory::model_path(std::int64_t replica) const {
  return path_ / model_file_name(replica);
}

void RunDirectory::write_json(const std::string& name, const Json& json) const {
  write_file(path_ / name, to_text(json, 2) + "\n");
}

void RunDirectory::append_metrics(const Json& record) {
  // A line is whole on disk before training goes on: a reader may follow along.
  metrics_ << to_text(record, -1) << '\n' << std::flush;
  if (!metrics_)
    throw FileError(
        fmt::format("{}: cannot be written; is the disk full?", (path_ / "metrics.jsonl").string()));
}

std::string model_file_name(std::int64_t replica) {
  return replica == 0 ? "model.pt" : fmt::format("model-{}.pt", replica);
}

std::string to_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json read_json(const fs::path& path) {
  const Bytes bytes = read_file(path);
  Json json = Json::parse(bytes, nullptr, false);
  if (json.is_discarded())
    throw ModelError(fmt::format("{}: is not JSON; the file is damaged", path.string()));
  return json;
}

}  // namespace handgrad::app
