// The end of a training, for people.
#pragma once

#include "handgrad/train/settings.h"
#include "handgrad/train/trainer.h"
#include "run/run_directory.h"

namespace handgrad::app {

// Prints how the training ended, what each network reached, and where the first of them is saved.
void print_result(const TrainingResult& result, const Settings& settings, const RunDirectory& run);

}  // namespace handgrad::app
