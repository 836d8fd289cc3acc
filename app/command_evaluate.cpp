// `handgrad evaluate`: measures a saved model on labelled images.
#include <fmt/format.h>

#include <cmath>

#include "commands.h"
#include "errors.h"
#include "metrics.h"
#include "saved_model.h"
#include "settings.h"
#include "system.h"

namespace handgrad::app {

namespace {

const std::vector<std::string> set_names = {"test", "validation", "train"};

struct LabelledSet {
  std::vector<std::int64_t> indices;  // of the training files' images first, then of the test files'
  Tensor pixels;                      // [N, rows·columns], uint8
  Tensor labels;                      // [N], int64
};

LabelledSet pick(const Dataset& dataset, std::vector<std::int64_t> indices) {
  const auto join = [&](const IdxArray& first, const IdxArray& second) {
    return at::cat({as_tensor(first), as_tensor(second)}).index_select(0, at::tensor(indices, at::kLong));
  };
  LabelledSet set;
  set.pixels = join(dataset.train_images, dataset.test_images).flatten(1);
  set.labels = join(dataset.train_labels, dataset.test_labels).to(at::kLong);
  set.indices = std::move(indices);
  return set;
}

// The file and the position in it, such as "t10k 4740".
std::string image_name(const Dataset& dataset, std::int64_t index) {
  const bool in_test_files = index >= dataset.train_count();
  return fmt::format("{} {}", in_test_files ? "t10k" : "train",
                     in_test_files ? index - dataset.train_count() : index);
}

// A split says nothing about other images than those it was made for.
void check_unchanged(const SavedModel& saved, const Dataset& dataset) {
  const std::filesystem::path summary = saved.file.parent_path() / "summary.json";
  std::error_code unreadable;
  if (!saved.trained_on || !std::filesystem::exists(summary, unreadable)) return;
  if (read_json(summary).value("data_sha256", "") == dataset.sha256()) return;
  throw DataError(
      fmt::format("{}: is not the data that the run was trained on (another SHA-256); name it with --data",
                  dataset.name));
}

Tensor log_probabilities(const TorchScriptModel& model, const Tensor& pixels) {
  std::vector<Tensor> parts;
  for (const Tensor& batch : pixels.split(evaluation_batch_size))
    parts.push_back(model.log_probabilities(batch));
  return at::cat(parts);
}

Json to_json(const Metrics& metrics, const Dataset& dataset, const LabelledSet& set) {
  Json classes = Json::array();
  for (const ClassMetrics& c : metrics.classes) {
    classes.push_back({{"precision", c.precision}, {"recall", c.recall}, {"f1", c.f1}});
  }
  Json mistakes = Json::array();
  for (const Mistake& m : metrics.worst_mistakes) {
    mistakes.push_back({{"image", image_name(dataset, set.indices[static_cast<std::size_t>(m.index)])},
                        {"label", m.label},
                        {"predicted", m.predicted},
                        {"probability", m.probability},
                        {"label_probability", m.label_probability}});
  }
  return {{"count", set.labels.size(0)},
          {"loss", metrics.overall.loss},
          {"accuracy", metrics.overall.accuracy},
          {"expected_calibration_error", metrics.expected_calibration_error},
          {"confusion", metrics.confusion},
          {"classes", classes},
          {"worst_mistakes", mistakes}};
}

std::string percent(double share) {
  return std::isnan(share) ? "-" : fmt::format("{:.2f}", 100 * share);
}

void print(const Metrics& metrics, const Dataset& dataset, const LabelledSet& set) {
  fmt::print("  accuracy {:.2f} %, loss {:.4f}, expected calibration error {:.4f}\n\n",
             100 * metrics.overall.accuracy, metrics.overall.loss, metrics.expected_calibration_error);
  fmt::print("  class  precision %  recall %    F1 %   | called");
  for (std::size_t c = 0; c < metrics.classes.size(); ++c) fmt::print("{:>6}", c);
  fmt::print("\n");
  for (std::size_t c = 0; c < metrics.classes.size(); ++c) {
    const ClassMetrics& of_class = metrics.classes[c];
    fmt::print("  {:>5}  {:>11}  {:>8}  {:>6}   |       ", c, percent(of_class.precision),
               percent(of_class.recall), percent(of_class.f1));
    for (const std::int64_t count : metrics.confusion[c]) fmt::print("{:>6}", count);
    fmt::print("\n");
  }
  if (metrics.worst_mistakes.empty()) return;
  fmt::print("\n  worst mistakes     label  called  probability  of the label\n");
  for (const Mistake& m : metrics.worst_mistakes) {
    fmt::print("  {:<16}{:>8}{:>8}{:>13.4f}{:>14.2e}\n",
               image_name(dataset, set.indices[static_cast<std::size_t>(m.index)]), m.label, m.predicted,
               m.probability, m.label_probability);
  }
}

}  // namespace

int evaluate_command(const Arguments& arguments) {
  Options options(
      "evaluate",
      "measures a saved model on labelled images. A TorchScript file is a program: evaluate only files that "
      "you trust",
      "MODEL");
  options.value("set", "test", "NAME", "test, validation or train; a model.pt alone has only test")
      .value("data", "", "DIR", "data set to use [that of the run, else MNIST_DIR, else data/mnist]")
      .value("replica", "0", "R", "which network of a run, from 0")
      .value("mistakes", "10", "N", "how many of the worst mistakes to list")
      .value("threads", "1", "N", "CPU threads")
      .toggle("json", "print JSON");
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (options.positional().size() != 1) {
    throw UsageError("name one model: `handgrad evaluate MODEL`, a run directory or a model.pt");
  }
  const std::string set_name = set_names[options.choice("set", set_names)];
  const auto most_mistakes = static_cast<std::size_t>(options.integer("mistakes", 0));
  const std::int64_t replica = options.integer("replica", 0);
  set_threads(static_cast<int>(options.integer("threads", 1, 1024)));
  const SavedModel saved = open_model(options.positional().front(), replica);

  if (set_name != "test" && !saved.trained_on) {
    throw UsageError(
        fmt::format("--set: {} needs a run directory, which says how the images were split", set_name));
  }
  DataSettings data = saved.trained_on.value_or(DataSettings());
  if (options.given("data") || !saved.trained_on) data.source = data_source(options);
  data.classes = saved.model.classes();
  const Dataset dataset = load_dataset(data.source, data.classes);
  if (!options.given("data")) check_unchanged(saved, dataset);
  const ImageShape shape = saved.model.shape();
  if (shape.rows != dataset.rows() || shape.columns != dataset.columns()) {
    throw ModelError(fmt::format(
        "{}: takes {} × {} images but those in {} are {} × {}; use the data set that it was "
        "trained on",
        saved.file.string(), shape.rows, shape.columns, data.source, dataset.rows(), dataset.columns()));
  }
  if (!saved.trained_on) data.split.validation_fraction = 0;
  SplitIndices indices = split_indices(dataset.train_count(), dataset.test_count(), data.split);
  LabelledSet set = pick(dataset, set_name == "test"         ? std::move(indices.test)
                                  : set_name == "validation" ? std::move(indices.validation)
                                                             : std::move(indices.train));
  if (set.labels.size(0) == 0)
    throw ModelError(
        fmt::format("{}: the run has no {} images; choose another --set", saved.file.string(), set_name));

  const Metrics metrics =
      compute_metrics(log_probabilities(saved.model, set.pixels), set.labels, most_mistakes);
  if (options.on("json")) {
    Json json = {{"model", saved.file.string()}, {"data", data.source}, {"set", set_name}};
    json.update(to_json(metrics, dataset, set));
    fmt::print("{}\n", to_text(json, 2));
  } else {
    fmt::print("{} on {}: {} {} images\n", saved.file.string(), data.source, set.labels.size(0), set_name);
    print(metrics, dataset, set);
  }
  return 0;
}

}  // namespace handgrad::app
