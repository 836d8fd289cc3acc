// The sections of a report about a trained network: its weights, where it is right and wrong, and what
// augmentation made of its images.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handgrad/data/dataset.h"
#include "handgrad/models/torchscript.h"
#include "handgrad/train/training_options.h"
#include "report/report_blocks.h"

namespace handgrad::app {

using NamedModel = std::pair<std::string, const TorchScriptModel*>;

// Histograms of the weights of each layer; and the first layer of the first model as pictures.
Json weight_blocks(const std::vector<NamedModel>& models, ImageShape shape);

// What differs between the weights of two models, layer by layer.
Json weight_difference_blocks(const NamedModel& a, const NamedModel& b, ImageShape shape);

// Confusion matrix, reliability diagram and the worst mistakes on the test images.
Json evaluation_blocks(const NamedModel& model, const Dataset& dataset, const Examples& test,
                       const std::vector<std::int64_t>& test_indices);

// What a run's augmentation makes of its training images, and the block of such pictures.
Json augmented_tile(const std::string& name, const Examples& train, const TrainingOptions& training);
Json augmented_block(const Json& tiles);

// The data set of a report; nothing, with the reason, where it cannot be read or is not the one of the runs.
struct ReportData {
  std::optional<Dataset> dataset;
  std::string missing;
};
ReportData load_report_data(const DataRequest& request, const std::string& sha256);

}  // namespace handgrad::app
