// What a training works with: the data and the network, on the device that trains it.
#pragma once

#include <memory>
#include <string>

#include "cli/options.h"
#include "cli/settings.h"
#include "handgrad/data/dataset.h"
#include "handgrad/nn/network.h"

namespace handgrad::app {

struct TrainingSession {
  at::Device device = at::kCPU;
  int threads = 1;
  Dataset dataset;
  std::string data_sha256;  // of the dataset
  Splits splits;
  std::unique_ptr<Network> network;

  ImageShape images() const { return {dataset.rows(), dataset.columns()}; }
};

// Opens what the settings and flags ask for, and says in the settings whether batches are gathered ahead.
// `processes`: null where this one is alone. Throws UsageError, and what the library throws.
TrainingSession prepare_training(Settings& settings, const Options& options, ProcessGroup* processes);

}  // namespace handgrad::app
