// `handgrad predict`: classifies images.
#include <fmt/format.h>

#include <iostream>

#include "commands/commands.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/picture.h"
#include "handgrad/files/file.h"
#include "handgrad/platform/threads.h"
#include "run/saved_model.h"

namespace handgrad::app {

namespace {

IdxArray read_images(const std::string& name) {
  const Bytes bytes = name == "-" ? read_stream(std::cin, "standard input") : read_file(name);
  return is_png(bytes) ? parse_png(bytes, name) : parse_idx(bytes, name);
}

Tensor as_pixels(IdxArray& images, const std::string& name, ImageShape shape) {
  if (images.shape.size() != 3) {
    throw DataError(fmt::format("{}: holds labels, not images; name an image file", name));
  }
  if (!shape.takes({images.shape[1], images.shape[2]})) {
    throw DataError(fmt::format("{}: images of {} × {} pixels, but the model takes {} × {}; scale them first",
                                name, images.shape[1], images.shape[2], shape.rows, shape.columns));
  }
  return at::from_blob(images.values.data(), images.shape, at::kByte).flatten(1);
}

}  // namespace

int predict_command(const Arguments& arguments) {
  Options options("predict",
                  "prints the class and its probability for each image of IDX or PNG files, - for stdin.\n"
                  "What is transparent in a PNG becomes white where the mean grey of its visible pixels is\n"
                  "dark, else black",
                  "MODEL FILE…");
  options.value("replica", "0", "R", "which network of a run, from 0")
      .toggle("invert", "dark digits on light ground: turn the pixels round")
      .value("threads", "1", "N", "CPU threads")
      .toggle("json", "print a JSON object per image, with all probabilities");
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  const std::vector<std::string>& names = options.positional();
  if (names.size() < 2) {
    throw UsageError("name a model and at least one file: `handgrad predict MODEL FILE…`");
  }
  const std::int64_t replica = options.integer("replica", 0);
  set_threads(static_cast<int>(options.integer("threads", 1, 1024)));
  const SavedModel saved = open_model(names.front(), replica);
  for (std::size_t f = 1; f < names.size(); ++f) {
    IdxArray images = read_images(names[f]);
    Tensor pixels = as_pixels(images, names[f], saved.model.shape());
    if (options.on("invert")) pixels = 255 - pixels;
    const Tensor probabilities = saved.model.log_probabilities(pixels).exp().to(at::kDouble).contiguous();
    const Tensor classes = probabilities.argmax(1);
    const auto probability = probabilities.accessor<double, 2>();
    const auto predicted = classes.accessor<std::int64_t, 1>();
    for (std::int64_t i = 0; i < probabilities.size(0); ++i) {
      const double of_class = probability[i][predicted[i]];
      if (options.on("json")) {
        const double* first = probability[i].data();
        const Json json = {{"file", names[f]},
                           {"index", i},
                           {"class", predicted[i]},
                           {"probability", of_class},
                           {"probabilities", std::vector<double>(first, first + probabilities.size(1))}};
        fmt::print("{}\n", to_text(json, -1));
      } else {
        fmt::print("{}[{}]\t{}\t{:.4f}\n", printable(names[f]), i, predicted[i], of_class);
      }
    }
  }
  return 0;
}

}  // namespace handgrad::app
