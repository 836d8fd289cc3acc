// `handgrad data`: what a data set holds, and its images as training changes them.
#include <fmt/format.h>

#include <algorithm>

#include "cli/settings.h"
#include "commands/commands.h"
#include "commands/output_file.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/augmented_picture.h"
#include "handgrad/data/deskew.h"
#include "handgrad/data/picture.h"
#include "handgrad/data/pixels.h"
#include "handgrad/files/file.h"
#include "run/data_set.h"

namespace handgrad::app {

namespace {

std::int64_t images_of(const IdxArray& labels, std::int64_t label) {
  return std::count(labels.values.begin(), labels.values.end(), static_cast<std::uint8_t>(label));
}

std::string class_text(const Dataset& dataset, std::int64_t label) {
  const std::string number = fmt::format("of class {}", label);
  return dataset.class_names.empty() ? number : number + " " + class_name(dataset.class_names, label);
}

void print(const Dataset& dataset) {
  const Brightness train = brightness_of(as_tensor(dataset.train_images));
  const Brightness test = brightness_of(as_tensor(dataset.test_images));
  fmt::print("{}: images of {} × {} pixels in {} classes\n", printable(dataset.name), dataset.rows(),
             dataset.columns(), dataset.classes);
  fmt::print("  {:<22}{:>10}{:>10}\n", "", "train", "test");
  fmt::print("  {:<22}{:>10}{:>10}\n", "images", dataset.train_count(), dataset.test_count());
  for (std::int64_t label = 0; label < dataset.classes; ++label) {
    fmt::print("  {:<22}{:>10}{:>10}\n", class_text(dataset, label), images_of(dataset.train_labels, label),
               images_of(dataset.test_labels, label));
  }
  fmt::print("  {:<22}{:>10.4f}{:>10.4f}\n", "mean pixel, 0 to 1", train.mean, test.mean);
  fmt::print("  {:<22}{:>10.4f}{:>10.4f}\n", "standard deviation", train.deviation, test.deviation);
}

// The training files, whole.
Examples training_images(const Dataset& dataset, bool deskew) {
  const ImageShape shape{dataset.rows(), dataset.columns()};
  const Tensor pixels = as_tensor(dataset.train_images).flatten(1);
  const Tensor targets = one_hot(dataset.train_labels, dataset.classes, at::kFloat);
  return {deskew ? deskewed(pixels, shape) : pixels, targets, {}, shape};
}

Options data_options() {
  Options options(
      "data",
      "prints what a data set holds; --show also writes a picture: an image of each class, at most\n"
      "ten, and beside it ten copies as training with these flags changes it",
      "");
  add_flag(options, "data");
  add_data_flags(options);
  add_flag(options, "deskew");
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
  if (options.on("deskew") && !show) {
    throw UsageError("--deskew: only the picture of --show is deskewed; name a PNG file there");
  }
  const Dataset dataset = open_dataset(read_data_request(options, data_source(options)));
  validate(augment, {dataset.rows(), dataset.columns()});
  if (show) {
    const Examples images = training_images(dataset, options.on("deskew"));
    write_file(file, as_text(serialize_png(augmented_picture(images, augment, Settings().seed))));
  }
  print(dataset);
  if (show) fmt::print("saved: {}\n", printable(file));
  return 0;
}

}  // namespace handgrad::app
