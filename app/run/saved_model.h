// A trained model as the user names it: a run directory, or a model file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cli/options.h"
#include "cli/settings.h"
#include "handgrad/models/model_file.h"

namespace handgrad::app {

struct ModelPlace {
  std::filesystem::path file;
  std::optional<Settings> trained_on;  // where a run directory was named
  std::int64_t networks = 1;           // of that run
};

// `name`: a run directory or a model file. `replica`: which network of the run. Throws UsageError,
// ModelError.
ModelPlace find_model(const std::string& name, std::int64_t replica);

struct SavedModel {
  ModelPlace place;
  TorchScriptModel model;
};

SavedModel open_model(const std::string& name, std::int64_t replica);

}  // namespace handgrad::app
