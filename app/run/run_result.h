// What a training leaves behind when it is done: its models and its summary.
#pragma once

#include <vector>

#include "cli/progress.h"
#include "handgrad/models/model.h"
#include "run/run_directory.h"

namespace handgrad::app {

// Writes the models, with an info each, and summary.json. Throws Interrupted where a signal comes meanwhile,
// and FileError where the run's directory takes them no more: then the message says how the result is still
// to be had, by --resume where the state of training was saved, else from another directory.
void save_result(const RunDirectory& run, const Network& network, const std::vector<ModelInfo>& infos,
                 const Json& summary, Progress& progress, bool state_is_saved);

}  // namespace handgrad::app
