// What a training leaves behind when it is done.
#include "run_result.h"

#include <fmt/format.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX

#include <functional>
#include <mutex>

#include "errors.h"
#include "interruption.h"
#include "resources.h"
#include "torchscript.h"
#include "workers.h"

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
      progress.after_training(fmt::format("saving {} models", count), ++written, count);
    });
  }
  run_jobs(jobs, available_cores());
}

// A new directory for what cannot be written where it belongs.
fs::path second_place() {
  std::string name = (fs::temp_directory_path() / "handgrad-run-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw FileError(fmt::format("{}: cannot be made", name));
  return name;
}

}  // namespace

void save_result(const RunDirectory& run, const Network& network, const std::vector<ModelInfo>& infos,
                 const Json& summary, Progress& progress, bool state_is_saved) {
  const int known = interruptions();
  try {
    write_models(run.path(), network, infos, progress, known);
    run.write_json("summary.json", summary);
    return;
  } catch (const FileError& error) {
    if (state_is_saved) {
      throw FileError(
          fmt::format("{}; the training is saved: make room, and `handgrad train --resume {}` writes the "
                      "model without training again",
                      error.what(), run.path().string()));
    }
    progress.warn(error.what());
  }
  const fs::path place = second_place();
  write_models(place, network, infos, progress, known);
  write_file(place / "summary.json", to_text(summary, 2) + "\n");
  throw FileError(
      fmt::format("{} takes no more files; model and summary are in {} instead: move them from there",
                  run.path().string(), place.string()));
}

}  // namespace handgrad::app
