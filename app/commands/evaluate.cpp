// `handgrad evaluate`: measures a saved model on labelled images, or several as one.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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

Json heading(const std::vector<std::string>& models, const std::string& set, bool deskewed,
             const LabelledImages& images) {
  Json json = Json::object();
  if (models.size() == 1) {
    json["model"] = models.front();
  } else {
    json["models"] = models;
  }
  json["data"] = images.source;
  json["set"] = set;
  json["deskewed"] = deskewed;
  if (!images.dataset.class_names.empty()) json["class_names"] = images.dataset.class_names;
  return json;
}

std::string percent_text(double share) {
  return std::isnan(share) ? "-" : fmt::format("{:.2f}", 100 * share);
}

// The widest of these texts, in columns of a terminal.
std::size_t widest(const std::vector<std::string>& texts, std::size_t least) {
  for (const std::string& text : texts) {
    const auto starts_character = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
    least =
        std::max(least, static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_character)));
  }
  return least;
}

// A row for each class; above the counts its number, which stands before its name.
void print_classes(const Metrics& metrics, const ClassNames& names) {
  const std::size_t count = metrics.classes.size();
  std::vector<std::string> rows;
  for (std::size_t c = 0; c < count; ++c) {
    rows.push_back(names.empty() ? fmt::format("{:>5}", c) : fmt::format("{:>2} {}", c, names[c]));
  }
  const std::size_t width = widest(rows, 5);
  fmt::print("  {:<{}}  precision %  recall %    F1 %   | called", "class", width);
  for (std::size_t c = 0; c < count; ++c) fmt::print("{:>6}", c);
  fmt::print("\n");
  for (std::size_t c = 0; c < count; ++c) {
    const ClassMetrics& of_class = metrics.classes[c];
    fmt::print("  {:<{}}  {:>11}  {:>8}  {:>6}   |       ", rows[c], width, percent_text(of_class.precision),
               percent_text(of_class.recall), percent_text(of_class.f1));
    for (const std::int64_t images_called : metrics.confusion[c]) fmt::print("{:>6}", images_called);
    fmt::print("\n");
  }
}

void print_mistakes(const Metrics& metrics, const LabelledImages& images) {
  const ClassNames& names = images.dataset.class_names;
  std::vector<std::string> files;
  for (const Mistake& m : metrics.worst_mistakes) files.push_back(images.name(m.index));
  const std::size_t file = widest(files, 16);
  const std::size_t width = widest(names, 6) + 2;
  fmt::print("\n  {:<{}}{:>{}}{:>{}}  probability  of the label\n", "worst mistakes", file, "label", width,
             "called", width);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Mistake& m = metrics.worst_mistakes[i];
    fmt::print("  {:<{}}{:>{}}{:>{}}{:>13.4f}{:>14.2e}\n", files[i], file, class_name(names, m.label), width,
               class_name(names, m.predicted), width, m.probability, m.label_probability);
  }
}

void print(const Metrics& metrics, const LabelledImages& images) {
  fmt::print("  accuracy {:.2f} %, loss {:.4f}, expected calibration error {:.4f}\n\n",
             100 * metrics.overall.accuracy, metrics.overall.loss, metrics.expected_calibration_error);
  print_classes(metrics, images.dataset.class_names);
  if (!metrics.worst_mistakes.empty()) print_mistakes(metrics, images);
}

// All are models of the same images and classes. Throws ModelError, UsageError.
std::vector<SavedModel> open_models(const std::vector<std::string>& names, std::int64_t replica) {
  std::vector<SavedModel> models;
  for (const std::string& name : names) {
    models.push_back(open_model(name, replica));
    const TorchScriptModel& first = models.front().model;
    const TorchScriptModel& model = models.back().model;
    const bool same_images = first.shape().takes(model.shape()) || model.shape().takes(first.shape());
    if (!same_images || model.classes() != first.classes() || model.class_names() != first.class_names()) {
      throw ModelError(fmt::format("{}: has other images or classes than {}; name models of the same data",
                                   models.back().place.file.string(), models.front().place.file.string()));
    }
  }
  return models;
}

// Throws UsageError where the models do not say which images are in that set.
void check_set(const std::string& name, const std::vector<SavedModel>& models) {
  for (const SavedModel& saved : models) {
    const std::optional<Settings>& run = saved.place.trained_on;
    if (models.size() == 1 || !run || run->split.kind != SplitOptions::Kind::pooled) continue;
    throw UsageError(fmt::format(
        "{}: was trained with --split pooled, by which the test images of one run are training images of another; "
        "measure it alone, or name runs with --split official",
        saved.place.file.string()));
  }
  if (name == "test") return;
  if (!models.front().place.trained_on) {
    throw UsageError(
        fmt::format("--set: {} needs a run directory, which says how the images were split", name));
  }
  if (models.size() > 1) {
    throw UsageError(
        fmt::format("--set: {} images are another choice in each run; several models take --set test", name));
  }
}

// The logarithms of the mean probabilities, [N,C].
Tensor log_probabilities(const std::vector<SavedModel>& models, const Tensor& pixels) {
  if (models.size() == 1) return models.front().model.log_probabilities(pixels);
  std::vector<Tensor> of_models;
  for (const SavedModel& saved : models) of_models.push_back(saved.model.log_probabilities(pixels));
  return at::logsumexp(at::stack(of_models), 0) - std::log(static_cast<double>(models.size()));
}

}  // namespace

int evaluate_command(const Arguments& arguments) {
  Options options(
      "evaluate",
      "measures a saved model on labelled images: a run directory, a safetensors file, a\n"
      "state dict of torch.save or a TorchScript file. A TorchScript file is a program: evaluate only\n"
      "those that you trust. Nothing in the other files is run. Several models are measured as one: by\n"
      "the means of their probabilities",
      "MODEL…");
  options.value("model", "", "FILE", "the same as MODEL")
      .value("set", "test", "NAME", "test, validation or train; a single file has only test")
      .value("data", "", "DIR", "data set to use [that of the run, else MNIST_DIR, else data/mnist]")
      .value("replica", "0", "R", "which network of a run, from 0")
      .value("mistakes", "10", "N", "how many of the worst mistakes to list")
      .value("threads", "1", "N", "CPU threads")
      .toggle("json", "print JSON");
  add_test_data_flags(options);
  add_device_flags(options, "cpu");
  options.hide("no-cuda-graph");  // it takes no steps
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  std::vector<std::string> names = options.positional();
  if (options.given("model")) names.push_back(options.text("model"));
  if (names.empty()) {
    throw UsageError("name a model: `handgrad evaluate MODEL`, a run directory or a model file");
  }
  const std::string set_name = set_names()[options.choice("set", set_names())];
  const auto most_mistakes = static_cast<std::size_t>(options.integer("mistakes", 0));
  const std::int64_t replica = options.integer("replica", 0);
  set_threads(static_cast<int>(options.integer("threads", 1, 1024)));
  const at::Device device = read_device(options);
  std::vector<SavedModel> models = open_models(names, replica);
  check_set(set_name, models);
  std::vector<std::string> files;
  bool deskewed = false;
  for (SavedModel& saved : models) {
    saved.model.to(device);
    files.push_back(saved.place.file.string());
    deskewed = deskewed || saved.model.deskews();
  }
  const SavedModel& first = models.front();
  const LabelledImages images =
      load_images(options, first.place,
                  {first.model.shape(), first.model.classes(), first.model.class_names()}, set_name);
  const Metrics metrics =
      compute_metrics(log_probabilities(models, images.pixels), images.labels, most_mistakes);
  if (options.on("json")) {
    Json json = heading(files, set_name, deskewed, images);
    json.update(to_json(metrics, images));
    fmt::print("{}\n", to_text(json, 2));
  } else {
    fmt::print("{} on {}: {}{}\n", fmt::join(files, ", "), images.source,
               counted(images.labels.size(0), set_name + " image"),
               deskewed ? ", deskewed by the model" : "");
    print(metrics, images);
  }
  return 0;
}

}  // namespace handgrad::app
