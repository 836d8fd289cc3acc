// `handgrad data`: what a data set holds, and its images as training changes them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/settings.h"
#include "commands/commands.h"
#include "commands/output_file.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/augmented_picture.h"
#include "handgrad/data/picture.h"
#include "handgrad/files/file.h"

namespace handgrad::app {

namespace {

// Of all pixels, as the network gets them: 0 to 1.
struct Brightness {
  double mean = 0, deviation = 0;
};

Brightness brightness_of(const IdxArray& images) {
  double sum = 0;
  double squares = 0;
  for (const std::uint8_t pixel : images.values) {
    sum += pixel;
    squares += static_cast<double>(pixel) * pixel;
  }
  const auto count = static_cast<double>(images.values.size());
  const double mean = sum / count;
  return {mean / 255, std::sqrt(std::max(0.0, squares / count - mean * mean)) / 255};
}

std::int64_t images_of(const IdxArray& labels, std::int64_t label) {
  return std::count(labels.values.begin(), labels.values.end(), static_cast<std::uint8_t>(label));
}

void print(const Dataset& dataset) {
  const Brightness train = brightness_of(dataset.train_images);
  const Brightness test = brightness_of(dataset.test_images);
  fmt::print("{}: images of {} × {} pixels in {} classes\n", printable(dataset.name), dataset.rows(),
             dataset.columns(), dataset.classes);
  fmt::print("  {:<22}{:>10}{:>10}\n", "", "train", "test");
  fmt::print("  {:<22}{:>10}{:>10}\n", "images", dataset.train_count(), dataset.test_count());
  for (std::int64_t label = 0; label < dataset.classes; ++label) {
    fmt::print("  {:<22}{:>10}{:>10}\n", fmt::format("of class {}", label),
               images_of(dataset.train_labels, label), images_of(dataset.test_labels, label));
  }
  fmt::print("  {:<22}{:>10.4f}{:>10.4f}\n", "mean pixel, 0 to 1", train.mean, test.mean);
  fmt::print("  {:<22}{:>10.4f}{:>10.4f}\n", "standard deviation", train.deviation, test.deviation);
}

// The training files, whole.
Examples training_images(const Dataset& dataset) {
  return {as_tensor(dataset.train_images).flatten(1),
          one_hot(dataset.train_labels, dataset.classes, at::kFloat),
          {},
          {dataset.rows(), dataset.columns()}};
}

Options data_options() {
  Options options(
      "data",
      "prints what a data set holds; --show also writes a picture: an image of each class, at most\n"
      "ten, and beside it ten copies as training with these flags changes it",
      "");
  add_flag(options, "data");
  add_flag(options, "classes");
  for (const std::string& name : augmentation_settings()) add_flag(options, name);
  options.value("show", "", "FILE", "a PNG file, for which --augment or a number beside it is needed");
  add_force_flag(options);
  return options;
}

}  // namespace

int data_command(const Arguments& arguments) {
  Options options = data_options();
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  const std::string& file = options.text("show");
  const bool show = options.given("show");
  const AugmentOptions augment = read_augmentation(options);
  if (show) {
    if (!augment.any()) {
      throw UsageError(
          "--show: without augmentation all copies would be the image itself; give --augment light, medium or "
          "strong");
    }
    require_replaceable(file, "show", options);
  } else if (augment.any()) {
    throw UsageError("--augment: only the picture of --show is augmented; name a PNG file there");
  }
  const Dataset dataset = load_dataset(data_source(options), read_classes(options));
  validate(augment, {dataset.rows(), dataset.columns()});
  if (show) {
    const Bytes png = serialize_png(augmented_picture(training_images(dataset), augment, Settings().seed));
    write_file(file, as_text(png));
  }
  print(dataset);
  if (show) fmt::print("saved: {}\n", printable(file));
  return 0;
}

}  // namespace handgrad::app
