// The labelled images that a saved model is measured on.
#include "run/labelled_images.h"

#include <fmt/format.h>

#include <string_view>

#include "handgrad/base/errors.h"
#include "run/data_set.h"

namespace handgrad::app {

namespace {

// A split says nothing about other images than those it was made for.
void check_unchanged(const ModelPlace& place, const Dataset& dataset) {
  const std::filesystem::path summary = place.file.parent_path() / "summary.json";
  std::error_code unreadable;
  if (!place.trained_on || !std::filesystem::exists(summary, unreadable)) return;
  const Json of_run = read_json(summary);
  if (of_run.is_object() && of_run.contains("data_sha256") && of_run["data_sha256"] == dataset.sha256())
    return;
  throw DataError(
      fmt::format("{}: is not the data that the run was trained on (another SHA-256); name it with --data",
                  dataset.name));
}

// The data for a model, read as those that its run was trained on where they are these. Pictures in folders are
// brought to its size and take its numbers of the classes; without names these are called by their numbers.
DataRequest request_for(const Options& options, const ModelPlace& place, const ModelInputs& model) {
  DataRequest request;
  if (place.trained_on && !options.given("data")) {
    request = place.trained_on->data_request();
  } else {
    request.source = data_source(options);
  }
  take_given_flags(request, options);
  request.classes = model.classes;
  request.class_names = model.class_names;
  if (!is_picture_folder(request.source)) return request;
  request.image_size = model.shape.of_pictures();
  for (std::int64_t c = 0; model.class_names.empty() && c < model.classes; ++c) {
    request.class_names.push_back(std::to_string(c));
  }
  return request;
}

// Where labels go beyond the model's classes, that is no fault of a setting.
Dataset load_for(const ModelPlace& place, const DataRequest& request) {
  try {
    return open_dataset(request);
  } catch (const DataError& error) {
    if (std::string_view(error.setting) != "classes") throw;
    throw ModelError(
        fmt::format("{}: knows {} classes, but {} has others; use the data set that it was trained on",
                    place.file.string(), request.classes, request.source));
  }
}

Tensor pick(const IdxArray& first, const IdxArray& second, const std::vector<std::int64_t>& indices) {
  return at::cat({as_tensor(first), as_tensor(second)}).index_select(0, at::tensor(indices, at::kLong));
}

}  // namespace

const std::vector<std::string>& set_names() {
  static const std::vector<std::string> names = {"test", "validation", "train"};
  return names;
}

std::string LabelledImages::name(std::int64_t index) const {
  return dataset.image_name(indices[static_cast<std::size_t>(index)]);
}

LabelledImages load_images(const Options& options, const ModelPlace& place, const ModelInputs& model,
                           const std::string& set) {
  LabelledImages images;
  Settings trained_on = place.trained_on.value_or(Settings());
  const DataRequest request = request_for(options, place, model);
  images.source = request.source;
  images.dataset = load_for(place, request);
  const Dataset& dataset = images.dataset;
  if (!options.given("data")) check_unchanged(place, dataset);
  const ImageShape& shape = model.shape;
  if (!shape.takes({dataset.rows(), dataset.columns()})) {
    throw ModelError(fmt::format(
        "{}: takes {} × {} images but those in {} are {} × {}; use the data set that it was "
        "trained on",
        place.file.string(), shape.rows, shape.columns, images.source, dataset.rows(), dataset.columns()));
  }
  SplitOptions& of_run = trained_on.split;
  of_run.twice = false;  // what a run calls its training accuracy is of both parts
  if (!place.trained_on) of_run.validation_fraction = 0;
  SplitIndices indices = split_indices(dataset.train_count(), dataset.test_count(), of_run);
  images.indices = set == "test"         ? std::move(indices.test)
                   : set == "validation" ? std::move(indices.validation)
                                         : std::move(indices.train);
  if (images.indices.empty()) {
    throw ModelError(
        fmt::format("{}: the run has no {} images; choose another --set", place.file.string(), set));
  }
  images.pixels = pick(dataset.train_images, dataset.test_images, images.indices).flatten(1);
  images.labels = pick(dataset.train_labels, dataset.test_labels, images.indices).to(at::kLong);
  return images;
}

}  // namespace handgrad::app
