// The directory of a training run.
#include "run/run_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <utility>

#include "cli/settings.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/json_check.h"
#include "handgrad/files/tfrecord.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

constexpr const char* config_file = "config.json";
constexpr const char* metrics_file = "metrics.jsonl";
constexpr const char* checkpoint_file = "checkpoint.safetensors";
constexpr const char* previous_checkpoint_file = "checkpoint-previous.safetensors";
constexpr const char* report_file = "report.html";
constexpr const char* metrics_bytes = "metrics_bytes";
// TensorBoard takes every file for one of events whose name has "tfevents" in it.
constexpr const char* events_file = "events.out.tfevents.handgrad";
constexpr const char* events_bytes = "events_bytes";

// What a process that was killed while it wrote may have left.
bool is_left_over(const std::string& name) {
  static const std::regex names(R"(\.handgrad-.*\.tmp)");
  return std::regex_match(name, names);
}

bool is_run_file(const std::string& name) {
  static const std::regex names(
      R"(config\.json|metrics\.jsonl|summary\.json|model(-[0-9]+)?\.pt|checkpoint(-previous)?\.safetensors|events\.out\.tfevents\.handgrad)");
  return std::regex_match(name, names);
}

// What goes with a run that is replaced. A page only describes it; other files, also exports, were asked for
// one by one.
bool is_replaced(const fs::directory_entry& entry) {
  const fs::path& path = entry.path();
  const std::string name = path.filename().string();
  return entry.is_regular_file() && (is_run_file(name) || (name == report_file && is_report(path)));
}

void clear(const fs::path& path, bool overwrite) {
  const bool holds_run = is_run(path);
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    const fs::path name = entry.path().filename();
    files.push_back(entry.path());
    if (is_left_over(name.string())) continue;
    if (!holds_run || !is_replaced(entry)) {
      throw FileError(
          fmt::format("--out: {} holds {}, which is not part of a run; move it away, or choose an empty or "
                      "new directory",
                      printable(path.string()), printable(name.string())));
    }
    if (!overwrite) {
      throw FileError(fmt::format(
          "--out: {} already holds a run; choose another directory, or give --overwrite", path.string()));
    }
  }
  // The file that makes it a run goes last: what is left after a kill can be overwritten again.
  std::stable_partition(files.begin(), files.end(),
                        [](const fs::path& file) { return file.filename() != config_file; });
  for (const fs::path& file : files) {
    std::error_code error;
    fs::remove(file, error);
    if (error)
      throw FileError(fmt::format("--out: {} cannot be removed: {}", file.string(), error.message()));
  }
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
  }
  lock_.emplace(path_);
  if (!out.empty()) clear(path_, overwrite);
  go_on(config, std::nullopt);
}

RunDirectory::RunDirectory(fs::path path) : path_(std::move(path)) {
  std::error_code unreadable;
  if (!fs::exists(path_ / config_file, unreadable)) {
    throw ModelError(fmt::format("--resume: {} holds no run, it has no {}; name the directory of a run",
                                 path_.string(), config_file));
  }
  lock_.emplace(path_);
  std::vector<fs::path> left_over;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
    if (is_left_over(entry.path().filename().string())) left_over.push_back(entry.path());
  }
  for (const fs::path& file : left_over) fs::remove(file, unreadable);
}

Json RunDirectory::config() const {
  return read_json(path_ / config_file);
}

std::optional<TrainingState> RunDirectory::read_checkpoint(std::string& note) {
  std::error_code unreadable;
  std::string fault;
  for (const char* name : {checkpoint_file, previous_checkpoint_file}) {
    const fs::path file = path_ / name;
    if (!fs::exists(file, unreadable)) continue;
    try {
      TrainingState state = parse_checkpoint(as_text(read_file(file)), file.string());
      if (!fault.empty()) {
        note = fmt::format("{}; going on from {}", fault, name);
        newest_is_good_ = false;
      }
      return state;
    } catch (const Error& error) {
      if (fault.empty()) fault = error.what();
    }
  }
  if (fault.empty() && fs::exists(path_ / "summary.json", unreadable)) {
    throw ModelError(
        fmt::format("--resume: {} is finished and has no checkpoint to go on from; begin another run "
                    "with --config {}",
                    path_.string(), (path_ / config_file).string()));
  }
  if (fault.empty()) return std::nullopt;
  throw ModelError(fmt::format("{}; there is no other checkpoint: begin anew with --config {}", fault,
                               (path_ / config_file).string()));
}

bool RunDirectory::go_on(const Json& config, const std::optional<TrainingState>& checkpoint) {
  std::error_code none;
  if (!fs::exists(path_ / config_file, none) || this->config() != config) write_json(config_file, config);
  const std::int64_t kept = checkpoint ? checkpoint->number(metrics_bytes) : 0;
  metrics_.emplace(path_ / metrics_file, static_cast<std::uint64_t>(kept));
  return metrics_->size() == static_cast<std::uint64_t>(kept);
}

bool RunDirectory::open_events(const std::optional<TrainingState>& checkpoint) {
  // A checkpoint of a run that wrote no events says nothing of them.
  const bool has_events = checkpoint && checkpoint->tensors.count(events_bytes) > 0;
  const auto kept = static_cast<std::uint64_t>(has_events ? checkpoint->number(events_bytes) : 0);
  std::error_code missing;
  const bool is_cut_short = kept > 0 && (fs::file_size(events_path(), missing) < kept || missing);
  // What followed on half a record could not be read.
  events_.emplace(events_path(), is_cut_short ? whole_records(events_path()) : kept);
  return events_->size() == kept;
}

fs::path RunDirectory::events_path() const {
  return path_ / events_file;
}

fs::path RunDirectory::model_path(std::int64_t replica) const {
  return path_ / model_file_name(replica);
}

void RunDirectory::write_json(const std::string& name, const Json& json) const {
  write_file(path_ / name, to_text(json, 2) + "\n");
}

void RunDirectory::append_metrics(const Json& record) {
  metrics_->append(to_text(record, -1) + "\n");
}

void RunDirectory::flush_logs() {
  metrics_->flush();
  if (events_) events_->flush();
}

void RunDirectory::write_checkpoint(TrainingState state) {
  // A checkpoint speaks of metrics and events that are on disk.
  flush_logs();
  state.set(metrics_bytes, static_cast<std::int64_t>(metrics_->size()));
  if (events_) state.set(events_bytes, static_cast<std::int64_t>(events_->size()));
  const std::string bytes = to_checkpoint(state);
  const fs::path file = path_ / checkpoint_file;
  if (bytes.size() > largest_file) {
    throw FileError(fmt::format("{}: would have {} bytes, more than the {} that can be read again",
                                file.string(), bytes.size(), largest_file));
  }
  write_file(file, bytes, [&](const fs::path& /*written*/) {
    // A damaged file must not take the place of the one that serves in its stead.
    if (newest_is_good_ && fs::exists(file)) rename_file(file, path_ / previous_checkpoint_file);
  });
  newest_is_good_ = true;
}

bool is_run(const fs::path& directory) {
  const fs::path config = directory / config_file;
  std::error_code unreadable;
  if (!fs::is_regular_file(config, unreadable)) return false;
  try {
    settings_of_run(read_json(config), config.string());
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool is_kept_by_run(const fs::path& file) {
  return is_run_file(file.filename().string()) && is_run(file.parent_path());
}

bool is_report(const fs::path& file) {
  std::error_code unreadable;
  if (!fs::is_regular_file(file, unreadable)) return false;
  std::string head(2048, '\0');
  std::ifstream(file, std::ios::binary).read(head.data(), static_cast<std::streamsize>(head.size()));
  // Earlier versions only had the title.
  return head.find(R"(<meta name="generator" content="handgrad">)") != std::string::npos ||
         head.find("<title>Report of handgrad</title>") != std::string::npos;
}

std::string model_file_name(std::int64_t replica) {
  return replica == 0 ? "model.pt" : fmt::format("model-{}.pt", replica);
}

}  // namespace handgrad::app
