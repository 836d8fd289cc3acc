// A trained model as the user names it: a run directory, or a TorchScript file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "export.h"
#include "options.h"
#include "settings.h"

namespace handgrad::app {

struct SavedModel {
  TorchScriptModel model;
  std::filesystem::path file;
  std::optional<DataSettings> trained_on;  // where `name` is a run directory
};

// `name`: a run directory or a TorchScript file. `replica`: which network of the run.
SavedModel open_model(const std::string& name, std::int64_t replica);

}  // namespace handgrad::app
