// `handgrad data`: what a data set holds, and its images as training changes them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/settings.h"
#include "commands/commands.h"
#include "commands/output_file.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/augment.h"
#include "handgrad/data/picture.h"
#include "handgrad/files/file.h"

namespace handgrad::app {

namespace {

constexpr std::int64_t copies = 10;      // of each image that is shown
constexpr std::int64_t most_shown = 10;  // classes
constexpr std::int64_t margin = 2;       // pixels between the images
constexpr std::uint8_t ground = 96;      // of these: to be told from ink and paper

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

// The first training image of each class.
std::vector<std::int64_t> first_of_classes(const Dataset& dataset) {
  const Bytes& labels = dataset.train_labels.values;
  std::vector<std::int64_t> chosen;
  for (std::int64_t label = 0; label < std::min(dataset.classes, most_shown); ++label) {
    const auto found = std::find(labels.begin(), labels.end(), static_cast<std::uint8_t>(label));
    if (found != labels.end()) chosen.push_back(found - labels.begin());
  }
  return chosen;
}

void paste(IdxArray& picture, const Tensor& image, std::int64_t row, std::int64_t column, ImageShape shape) {
  const Tensor bytes = image.mul(255).round().to(at::kByte).contiguous();
  const auto* pixels = bytes.data_ptr<std::uint8_t>();
  const std::int64_t top = margin + row * (shape.rows + margin);
  const std::int64_t left = margin + column * (shape.columns + margin);
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    std::copy_n(pixels + r * shape.columns, shape.columns,
                picture.values.begin() + (top + r) * picture.shape[2] + left);
  }
}

// A row for each class: an image, and what it is in the first epochs of a training.
IdxArray augmented_picture(const Dataset& dataset, const AugmentOptions& options) {
  const ImageShape shape{dataset.rows(), dataset.columns()};
  const std::vector<std::int64_t> originals = first_of_classes(dataset);
  const auto rows = static_cast<std::int64_t>(originals.size());
  IdxArray picture{
      {1, margin + rows * (shape.rows + margin), margin + (1 + copies) * (shape.columns + margin)}, {}};
  picture.values.assign(static_cast<std::size_t>(picture.shape[1] * picture.shape[2]), ground);
  const Tensor pixels = as_tensor(dataset.train_images).flatten(1);
  const Tensor chosen = at::tensor(originals, at::kLong);
  const Augmenter augmenter(shape);
  Tensor images = at::empty({rows, pixels.size(1)}, at::kFloat);
  for (std::int64_t column = 0; column <= copies; ++column) {
    const AugmentOptions of_column = column == 0 ? AugmentOptions() : options;
    augmenter.augment(images, pixels, chosen, {of_column, {1}, column, 0});
    for (std::int64_t row = 0; row < rows; ++row) paste(picture, images[row], row, column, shape);
  }
  return picture;
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
    const Bytes png = serialize_png(augmented_picture(dataset, augment));
    write_file(file, as_text(png));
  }
  print(dataset);
  if (show) fmt::print("saved: {}\n", printable(file));
  return 0;
}

}  // namespace handgrad::app
