// The directory of a training run: config.json, metrics.jsonl, checkpoints, model.pt, summary.json, and the
// event file of TensorBoard where it is asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "cli/json.h"
#include "handgrad/files/file.h"
#include "handgrad/train/training_state.h"

namespace handgrad::app {

// Held by one process at a time.
class RunDirectory {
 public:
  // Begins a run with this config.json. `out` empty: the next free runs/NNN. Throws FileError when the
  // directory cannot be made, is in use, or holds anything; with `overwrite` a run in it, and the page that
  // `handgrad report` put there, are removed first.
  RunDirectory(const std::string& out, bool overwrite, const Json& config);

  // Opens a run to go on with it. Throws FileError where that cannot be, ModelError where it holds no run.
  explicit RunDirectory(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model_path(std::int64_t replica) const;

  Json config() const;

  // The newest checkpoint that is whole; none where there is no checkpoint yet. `note`: what to tell the
  // user, or "". Throws ModelError where there are checkpoints, but none is whole.
  std::optional<TrainingState> read_checkpoint(std::string& note);

  // Makes what is on disk that of the checkpoint, or of a run that begins: cuts off what metrics.jsonl holds
  // beyond it.
  // false: lines that the checkpoint speaks of are missing there.
  bool go_on(const Json& config, const std::optional<TrainingState>& checkpoint);

  // Opens the event file, or makes it, and brings it to the checkpoint as go_on does metrics.jsonl. false:
  // events that the checkpoint speaks of are missing; those before them are kept. Throws FileError.
  bool open_events(const std::optional<TrainingState>& checkpoint);
  std::filesystem::path events_path() const;

  // Bytes of the open event file; 0 where it has no event yet.
  std::uint64_t events_size() const { return events_->size(); }

  // Adds records to the open event file; fails as append_metrics does.
  void append_events(std::string_view records) { events_->append(records); }

  void write_json(const std::string& name, const Json& json) const;

  // Throws FileError where a line is not on disk; it is tried again with the next one.
  void append_metrics(const Json& record);

  // Has all metrics and events on disk. Throws FileError.
  void flush_logs();

  // Writes the state with all metrics and events so far; the checkpoint before it is kept as the previous one. Throws
  // FileError, and then the one before is still there.
  void write_checkpoint(TrainingState state);

 private:
  std::filesystem::path path_;
  std::optional<DirectoryLock> lock_;
  std::optional<GrowingFile> metrics_;
  std::optional<GrowingFile> events_;  // where it is open
  bool newest_is_good_ = true;         // of the checkpoints
};

// Makes a directory and those above it. Throws FileError.
void make_directories(const std::filesystem::path& path);

// Makes the next free directory runs/NNN. Throws FileError.
std::filesystem::path next_free_run();

// Whether a directory holds a run: a config.json that is one of a run.
bool is_run(const std::filesystem::path& directory);

// Whether a path names a file that the run in its directory keeps, be it there or not.
bool is_kept_by_run(const std::filesystem::path& file);

// Whether a file is a page that `handgrad report` wrote.
bool is_report(const std::filesystem::path& file);

// Where network `replica` of a run is saved: "model.pt" for the first, then "model-1.pt", ….
std::string model_file_name(std::int64_t replica);

}  // namespace handgrad::app
