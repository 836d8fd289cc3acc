// What a training leaves behind when it is done.
#include "run/run_result.h"

#include <fmt/format.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX

#include <functional>
#include <mutex>
#include <optional>

#include "cli/interruption.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/models/torchscript.h"
#include "handgrad/platform/resources.h"
#include "handgrad/platform/workers.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

// Writes the models, several at a time where there are many. Throws Interrupted where a signal comes that is
// not one of the first `known`.
void write_models(const fs::path& directory, const Network& network, const std::vector<ModelInfo>& infos,
                  Progress& progress, int known) {
  std::mutex mutex;  // of the progress
  std::int64_t written = 0;
  const auto count = static_cast<std::int64_t>(infos.size());
  std::vector<std::function<void()>> jobs;
  for (std::int64_t r = 0; r < count; ++r) {
    jobs.emplace_back([&, r] {
      if (interruptions() > known) throw Interrupted();
      const TorchScriptModel model(model_of(network, r, infos[static_cast<std::size_t>(r)]));
      write_file(directory / model_file_name(r), model.serialize());
      const std::lock_guard<std::mutex> lock(mutex);
      progress.after_training("saving " + counted(count, "model"), ++written, count);
    });
  }
  run_jobs(jobs, available_cores());
}

void write_summary(const fs::path& directory, const Json& summary) {
  write_file(directory / "summary.json", to_text(summary, 2) + "\n");
}

// Writes the result to a new directory, for where its own takes no files; none where that fails too.
std::optional<fs::path> write_elsewhere(const Network& network, const std::vector<ModelInfo>& infos,
                                        const Json& summary, Progress& progress, int known) {
  std::error_code none;
  std::string place = (fs::temp_directory_path(none) / "handgrad-run-XXXXXX").string();
  if (none || mkdtemp(place.data()) == nullptr) return std::nullopt;
  try {
    write_models(place, network, infos, progress, known);
    write_summary(place, summary);
    return place;
  } catch (const FileError&) {
    std::error_code ignored;
    fs::remove_all(place, ignored);
    return std::nullopt;
  }
}

}  // namespace

void save_result(const RunDirectory& run, const Network& network, const std::vector<ModelInfo>& infos,
                 const Json& summary, Progress& progress, bool state_is_saved) {
  const int known = interruptions();
  try {
    write_models(run.path(), network, infos, progress, known);
    write_summary(run.path(), summary);
  } catch (const FileError& error) {
    if (state_is_saved) {
      throw FileError(
          fmt::format("{}; the training is saved: make room, and `handgrad train --resume {}` writes the "
                      "model without training again",
                      error.what(), run.path().string()));
    }
    const std::optional<fs::path> place = write_elsewhere(network, infos, summary, progress, known);
    if (!place) throw;
    throw FileError(fmt::format("{}; model and summary are in {} instead: move them from there", error.what(),
                                place->string()));
  }
}

}  // namespace handgrad::app
