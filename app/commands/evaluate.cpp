// `handgrad evaluate`: measures a saved model on labelled images.
#include <fmt/format.h>

#include <cmath>

#include "cli/settings.h"
#include "commands/commands.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/platform/threads.h"
#include "handgrad/train/metrics.h"
#include "run/labelled_images.h"

namespace handgrad::app {

namespace {

Json to_json(const Metrics& metrics, const LabelledImages& images) {
  Json classes = Json::array();
  for (const ClassMetrics& c : metrics.classes) {
    classes.push_back({{"precision", c.precision}, {"recall", c.recall}, {"f1", c.f1}});
  }
  Json mistakes = Json::array();
  for (const Mistake& m : metrics.worst_mistakes) {
    mistakes.push_back({{"image", images.name(m.index)},
                        {"label", m.label},
                        {"predicted", m.predicted},
                        {"probability", m.probability},
                        {"label_probability", m.label_probability}});
  }
  return {{"count", images.labels.size(0)},
          {"loss", metrics.overall.loss},
          {"accuracy", metrics.overall.accuracy},
          {"expected_calibration_error", metrics.expected_calibration_error},
          {"confusion", metrics.confusion},
          {"classes", classes},
          {"worst_mistakes", mistakes}};
}

std::string percent_text(double share) {
  return std::isnan(share) ? "-" : fmt::format("{:.2f}", 100 * share);
}

void print(const Metrics& metrics, const LabelledImages& images) {
  fmt::print("  accuracy {:.2f} %, loss {:.4f}, expected calibration error {:.4f}\n\n",
             100 * metrics.overall.accuracy, metrics.overall.loss, metrics.expected_calibration_error);
  fmt::print("  class  precision %  recall %    F1 %   | called");
  for (std::size_t c = 0; c < metrics.classes.size(); ++c) fmt::print("{:>6}", c);
  fmt::print("\n");
  for (std::size_t c = 0; c < metrics.classes.size(); ++c) {
    const ClassMetrics& of_class = metrics.classes[c];
    fmt::print("  {:>5}  {:>11}  {:>8}  {:>6}   |       ", c, percent_text(of_class.precision),
               percent_text(of_class.recall), percent_text(of_class.f1));
    for (const std::int64_t count : metrics.confusion[c]) fmt::print("{:>6}", count);
    fmt::print("\n");
  }
  if (metrics.worst_mistakes.empty()) return;
  fmt::print("\n  worst mistakes     label  called  probability  of the label\n");
  for (const Mistake& m : metrics.worst_mistakes) {
    fmt::print("  {:<16}{:>8}{:>8}{:>13.4f}{:>14.2e}\n", images.name(m.index), m.label, m.predicted,
               m.probability, m.label_probability);
  }
}

}  // namespace

int evaluate_command(const Arguments& arguments) {
  Options options(
      "evaluate",
      "measures a saved model on labelled images: a run directory, a safetensors file, a\n"
      "state dict of torch.save or a TorchScript file. A TorchScript file is a program: evaluate only\n"
      "those that you trust. Nothing in the other files is run",
      "MODEL");
  options.value("model", "", "FILE", "the same as MODEL")
      .value("set", "test", "NAME", "test, validation or train; a single file has only test")
      .value("data", "", "DIR", "data set to use [that of the run, else MNIST_DIR, else data/mnist]")
      .value("replica", "0", "R", "which network of a run, from 0")
      .value("mistakes", "10", "N", "how many of the worst mistakes to list")
      .value("threads", "1", "N", "CPU threads")
      .toggle("json", "print JSON");
  add_device_flags(options, "cpu");
  options.hide("no-cuda-graph");  // it takes no steps
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  std::vector<std::string> models = options.positional();
  if (options.given("model")) models.push_back(options.text("model"));
  if (models.size() != 1) {
    throw UsageError("name one model: `handgrad evaluate MODEL`, a run directory or a model file");
  }
  const std::string set_name = set_names()[options.choice("set", set_names())];
  const auto most_mistakes = static_cast<std::size_t>(options.integer("mistakes", 0));
  const std::int64_t replica = options.integer("replica", 0);
  set_threads(static_cast<int>(options.integer("threads", 1, 1024)));
  const at::Device device = read_device(options);
  SavedModel saved = open_model(models.front(), replica);
  if (set_name != "test" && !saved.place.trained_on) {
    throw UsageError(
        fmt::format("--set: {} needs a run directory, which says how the images were split", set_name));
  }
  saved.model.to(device);
  const LabelledImages images =
      load_images(options, saved.place, saved.model.shape(), saved.model.classes(), set_name);
  const Metrics metrics =
      compute_metrics(saved.model.log_probabilities(images.pixels), images.labels, most_mistakes);
  const std::string file = saved.place.file.string();
  if (options.on("json")) {
    Json json = {
        {"model", file}, {"data", images.source}, {"set", set_name}, {"deskewed", saved.model.deskews()}};
    json.update(to_json(metrics, images));
    fmt::print("{}\n", to_text(json, 2));
  } else {
    fmt::print("{} on {}: {}{}\n", file, images.source, counted(images.labels.size(0), set_name + " image"),
               saved.model.deskews() ? ", deskewed by the model" : "");
    print(metrics, images);
  }
  return 0;
}

}  // namespace handgrad::app
