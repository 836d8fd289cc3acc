// A trained model as the user names it.
#include "run/saved_model.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"
#include "run/run_directory.h"

namespace handgrad::app {

ModelPlace find_model(const std::string& name, std::int64_t replica) {
  namespace fs = std::filesystem;
  std::error_code unreadable;
  if (!fs::is_directory(name, unreadable)) {
    if (replica != 0)
      throw UsageError("--replica: picks a network of a run directory; a single file has only one");
    return {name, std::nullopt, 1};
  }
  const fs::path config = fs::path(name) / "config.json";
  if (!fs::exists(config, unreadable)) {
    throw ModelError(
        fmt::format("{}: is no run directory, it has no config.json; name a run or a model file", name));
  }
  const fs::path file = fs::path(name) / model_file_name(replica);
  if (!fs::exists(file, unreadable)) {
    throw ModelError(fmt::format("{}: has no {}; the run did not finish, or has fewer networks", name,
                                 file.filename().string()));
  }
  std::int64_t networks = 1;
  while (fs::exists(fs::path(name) / model_file_name(networks), unreadable)) ++networks;
  return {file, settings_of_run(read_json(config), config.string()), networks};
}

SavedModel open_model(const std::string& name, std::int64_t replica) {
  ModelPlace place = find_model(name, replica);
  TorchScriptModel model = load_classifier(place.file);
  return {std::move(place), std::move(model)};
}

}  // namespace handgrad::app
