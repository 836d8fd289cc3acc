// The sections of a report about a trained network.
#include "report/report_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "handgrad/base/errors.h"
#include "handgrad/base/statistics.h"
#include "handgrad/data/augmented_picture.h"
#include "handgrad/train/evaluator.h"
#include "handgrad/train/metrics.h"

namespace handgrad::app {

namespace {

constexpr std::size_t most_mistakes = 24;
constexpr std::int64_t most_pictures = 64;  // of a first layer that is wider

std::string layer_name(std::size_t layer) {
  return fmt::format("layer {}", layer + 1);
}

// A picture of each unit's weights in a first layer [units,pixels], or of the first units of many.
Json unit_tiles(const Tensor& weight, ImageShape shape) {
  Json tiles = Json::array();
  for (std::int64_t unit = 0; unit < std::min(weight.size(0), most_pictures); ++unit) {
    tiles.push_back(
        diverging_tile(fmt::format("unit {}", unit + 1), weight[unit].view({shape.rows, shape.columns})));
  }
  return tiles;
}

std::string units_shown(const Tensor& weight) {
  const std::int64_t units = weight.size(0);
  return units > most_pictures ? fmt::format(" The first {} of {} units.", most_pictures, units) : "";
}

// As the flags have them: presets have no numbers in the table of settings.
std::string bounds_text(const AugmentOptions& augment) {
  std::vector<std::string> bounds;
  const auto add = [&](const char* name, double bound, const char* unit) {
    if (bound > 0) bounds.push_back(fmt::format("{} {}{}", name, bound, unit));
  };
  add("rotation", augment.rotation, "°");
  add("scale", augment.scale, "");
  add("shear", augment.shear, "");
  add("shift", augment.shift, " px");
  add("elastic", augment.elastic, " px");
  return fmt::format("{}", fmt::join(bounds, ", "));
}

}  // namespace

Json weight_blocks(const std::vector<NamedModel>& models, ImageShape shape) {
  Json rows = Json::array();
  std::vector<std::vector<Tensor>> weights;
  std::size_t layers = 0;
  for (const auto& [name, model] : models) {
    weights.push_back(model->weights());
    layers = std::max(layers, weights.back().size());
  }
  for (std::size_t layer = 0; layer < layers; ++layer) {
    std::vector<std::pair<std::string, Tensor>> series;
    for (std::size_t m = 0; m < models.size(); ++m) {
      if (layer < weights[m].size()) series.emplace_back(models[m].first, weights[m][layer]);
    }
    add_histograms(rows, layer_name(layer), series);
  }
  Json blocks = Json::array();
  blocks.push_back(histograms_block("weight-histograms", "Weights of each layer",
                                    "How many weights of a layer lie in each bin.", "weight", rows));

  const Tensor& first = weights.front().front();
  blocks.push_back(images_block("first-layer", fmt::format("First layer of {}", models.front().first),
                                "What each unit of the first layer looks for: ink on red raises it, ink on "
                                "blue lowers it, each unit on a scale of its own around 0." +
                                    units_shown(first),
                                unit_tiles(first, shape)));
  return blocks;
}

Json weight_difference_blocks(const NamedModel& a, const NamedModel& b, ImageShape shape) {
  const std::vector<Tensor> from = a.second->weights();
  const std::vector<Tensor> to = b.second->weights();
  Json blocks = Json::array();
  const Tensor first = from.front() - to.front();
  blocks.push_back(
      images_block("first-layer-difference", fmt::format("First layer: {} minus {}", a.first, b.first),
                   "Red where the weight of the first is greater, blue where that of the second is, on a "
                   "scale of its own for each unit." +
                       units_shown(first),
                   unit_tiles(first, shape)));
  Json rows = Json::array();
  for (std::size_t layer = 1; layer < from.size() && layer < to.size(); ++layer) {
    const Tensor difference = (from[layer] - to[layer]).to(at::kDouble).contiguous();
    const auto value = difference.accessor<double, 2>();
    for (std::int64_t o = 0; o < difference.size(0); ++o) {
      for (std::int64_t i = 0; i < difference.size(1); ++i) {
        rows.push_back({{"panel", layer_name(layer)},
                        {"x", std::to_string(i + 1)},
                        {"y", std::to_string(o + 1)},
                        {"value", value[o][i]}});
      }
    }
  }
  blocks.push_back(heatmap_block("weight-differences",
                                 fmt::format("Later layers: {} minus {}", a.first, b.first),
                                 "A row per output, a column per input: the stronger the colour, the further "
                                 "apart the two weights ended.",
                                 "input", "output", true, false, rows));
  return blocks;
}

Json evaluation_blocks(const NamedModel& model, const Dataset& dataset, const Examples& test,
                       const std::vector<std::int64_t>& test_indices) {
  const Tensor labels = test.targets.argmax(1);
  const Metrics metrics =
      compute_metrics(model.second->log_probabilities(test.pixels), labels, most_mistakes);
  Json blocks = Json::array();

  const ClassNames names = dataset.class_names.empty() ? model.second->class_names() : dataset.class_names;
  const auto name_of = [&](auto label) { return class_name(names, static_cast<std::int64_t>(label)); };
  Json cells = Json::array();
  for (std::size_t label = 0; label < metrics.confusion.size(); ++label) {
    for (std::size_t called = 0; called < metrics.confusion.size(); ++called) {
      cells.push_back(
          {{"x", name_of(called)}, {"y", name_of(label)}, {"value", metrics.confusion[label][called]}});
    }
  }
  blocks.push_back(
      heatmap_block("confusion", fmt::format("What {} called the test images", model.first),
                    "Correct predictions stand on the diagonal; a large number beside it is a pair of "
                    "classes that the network takes for each other.",
                    "called", "label", false, true, cells));

  Json points = Json::array();
  for (const CalibrationBin& bin : metrics.calibration) {
    if (bin.count == 0) continue;
    const Range share = share_interval(bin.accuracy, static_cast<std::size_t>(bin.count));
    points.push_back({{"x", bin.confidence}, {"y", bin.accuracy}, {"low", share.low}, {"high", share.high}});
  }
  Json reliability = lines_block(
      "reliability", "Reliability diagram",
      fmt::format("On the diagonal the network is as often right as it is sure; below it, it is too sure. "
                  "The band is of Wilson's 95 % intervals of a share. Expected calibration error: {:.4f}.",
                  metrics.expected_calibration_error),
      {"confidence", false}, {"accuracy", false}, "", points);
  reliability["diagonal"] = true;
  blocks.push_back(reliability);

  Json tiles = Json::array();
  for (const Mistake& mistake : metrics.worst_mistakes) {
    const std::int64_t index = test_indices[static_cast<std::size_t>(mistake.index)];
    tiles.push_back(
        tile(fmt::format("{} called {} ({:.4f}), {}", name_of(mistake.label), name_of(mistake.predicted),
                         mistake.probability, dataset.image_name(index)),
             test.pixels[mistake.index].view({dataset.rows(), dataset.columns()})));
  }
  blocks.push_back(
      images_block("mistakes", "The worst mistakes",
                   "The test images for which the network was surest of a wrong class, the worst "
                   "first: label, what it was called, and with what probability.",
                   tiles));
  return blocks;
}

Json augmented_tile(const std::string& name, const Examples& train, const TrainingOptions& training) {
  const AugmentOptions augment = training.augment.options();
  const IdxArray picture = augmented_picture(train, augment, training.data_seeds.front());
  return tile(
      fmt::format(
          "{}: {}{}", name, bounds_text(augment),
          training.augment_final == 1 ? "" : fmt::format("; {} of that at the end", training.augment_final)),
      as_tensor(picture)[0]);
}

Json augmented_block(const Json& tiles) {
  return images_block(
      "augmented", "What augmentation makes of images",
      "A row for each class: on the left an image of the training set, then ten copies of it, "
      "each changed at random within the bounds below, as training changes it in each epoch.",
      tiles);
}

ReportData load_report_data(const DataRequest& request, const std::string& sha256) {
  ReportData data;
  try {
    data.dataset = load_dataset(request);
    if (data.dataset->sha256() != sha256) {
      data.dataset.reset();
      data.missing = request.source + " is not the data that these runs were trained on";
    }
  } catch (const Error& error) {
    data.missing = error.what();
  }
  return data;
}

}  // namespace handgrad::app
