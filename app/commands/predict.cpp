// `handgrad predict`: classifies images.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "commands/commands.h"
#include "commands/output_file.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/digit_picture.h"
#include "handgrad/data/picture.h"
#include "handgrad/data/scaled_picture.h"
#include "handgrad/files/file.h"
#include "handgrad/platform/threads.h"
#include "run/data_set.h"
#include "run/resumption.h"
#include "run/saved_model.h"

namespace handgrad::app {

namespace {

Options predict_options() {
  Options options(
      "predict",
      "prints the class and its probability for each image. Pictures (PNG, JPEG, TIFF, BMP, PNM,\n"
      "WebP) of any size, dark on light or light on dark, are made ready as MNIST was; for a model of\n"
      "folders of pictures they are scaled, as those were; IDX files are taken as they are. - is stdin:\n"
      "a picture, an IDX file, or names of files, one a line",
      "MODEL FILE…");
  options.value("replica", "0", "R", "which network of a run, from 0")
      .toggle("digits", "read several digits in a picture, from left to right")
      .toggle("as-is", "pictures have the model's size already: change nothing but colour to grey")
      .toggle("invert", "dark digits on light ground, in IDX files or with --as-is: turn the pixels round")
      .value("top", "1", "K", "print the K most probable classes")
      .toggle("skip-unreadable", "go on after files that cannot be read, or hold no digit, and say which")
      .value("show", "", "FILE.png", "write what the network gets to see")
      .value("threads", "1", "N", "CPU threads")
      .toggle("json", "print a JSON object per image, with all probabilities");
  add_force_flag(options);
  return options;
}

Tensor as_pixels(IdxArray& images, const std::string& name, ImageShape shape) {
  if (images.shape.size() != 3) {
    throw DataError(fmt::format("{}: holds labels, not images; name an image file", printable(name)));
  }
  if (!shape.takes({images.shape[1], images.shape[2]})) {
    throw DataError(fmt::format("{}: images of {} × {} pixels, but the model takes {} × {}; scale them first",
                                printable(name), images.shape[1], images.shape[2], shape.rows,
                                shape.columns));
  }
  return at::from_blob(images.values.data(), images.shape, at::kByte).flatten(1);
}

// The images side by side, and after many below each other.
void save_images(const std::vector<Tensor>& pixels, ImageShape shape, const std::string& file) {
  constexpr std::int64_t most_in_row = 50;
  const Tensor images = at::cat(pixels).reshape({-1, shape.rows, shape.columns});
  const std::int64_t across = std::min(images.size(0), most_in_row);
  const std::int64_t down = (images.size(0) + across - 1) / across;
  const Tensor cells = at::zeros({down * across, shape.rows, shape.columns}, at::kByte);
  cells.narrow(0, 0, images.size(0)).copy_(images);
  const Tensor picture = cells.view({down, across, shape.rows, shape.columns}).transpose(1, 2).contiguous();
  const auto* first = picture.data_ptr<std::uint8_t>();
  const Bytes png =
      serialize_png({{1, down * shape.rows, across * shape.columns}, {first, first + picture.numel()}});
  write_file(file, as_text(png));
}

class Predictions {
 public:
  Predictions(const Options& options, const SavedModel& saved)
      : options_(options),
        model_(saved.model),
        shape_(model_.shape().of_pictures()),
        names_(model_.class_names()),
        whole_(model_.takes_whole_pictures()) {
    classes_shown_ = options.integer("top", 1, 1000);
  }

  // The file of this name; one that cannot be read is noted where that is asked for.
  void print(const std::string& name) {
    try {
      print(name, read_file(name));
    } catch (const Error& error) {
      if (!options_.on("skip-unreadable")) throw;
      skipped_.emplace_back(error.what());
    }
  }

  // Says what was left out. Throws DataError where that is all.
  void report_skipped() const {
    const std::string text = skipped_text(skipped_, "file");
    if (!skipped_.empty() && read_ == 0) throw DataError(text + "; that leaves none");
    if (!skipped_.empty()) warn(text);
  }

  void print(const std::string& name, const Bytes& bytes) {
    IdxArray images = read(name, bytes);
    Tensor pixels = as_pixels(images, name, model_.shape());
    if (options_.on("invert")) pixels = 255 - pixels;
    if (options_.given("show")) shown_.push_back(pixels.clone());
    ++read_;
    const Tensor probabilities = model_.log_probabilities(pixels).exp().to(at::kDouble);
    const auto [sorted, classes] = probabilities.sort(/*stable=*/true, /*dim=*/1, /*descending=*/true);
    for (std::int64_t i = 0; i < probabilities.size(0); ++i) {
      print_image(name, i, probabilities[i].contiguous(), sorted[i].contiguous(), classes[i].contiguous());
    }
  }

  void save_shown() const {
    if (!shown_.empty()) save_images(shown_, shape_, options_.text("show"));
  }

 private:
  IdxArray read(const std::string& name, const Bytes& bytes) const {
    // An IDX file begins with a zero byte, which no text and no picture does.
    if (!bytes.empty() && bytes.front() == 0) return parse_idx(bytes, name);
    IdxArray picture = parse_picture(bytes, name);
    if (options_.on("as-is")) return picture;
    if (whole_) return scaled_picture(picture, shape_);
    if (options_.on("invert")) {
      throw UsageError(fmt::format(
          "--invert: whether {} is dark on light is found out by itself; leave it out, or give --as-is",
          printable(name)));
    }
    return prepare_digits(picture, shape_, options_.on("digits"), name);
  }

  void print_image(const std::string& name, std::int64_t index, const Tensor& probabilities,
                   const Tensor& sorted, const Tensor& classes) const {
    const double* of_class = sorted.data_ptr<double>();
    const auto* best = classes.data_ptr<std::int64_t>();
    const std::int64_t shown = std::min(classes_shown_, classes.size(0));
    if (options_.on("json")) {
      const double* first = probabilities.data_ptr<double>();
      Json json = {{"file", name},
                   {"index", index},
                   {"class", best[0]},
                   {"probability", of_class[0]},
                   {"probabilities", std::vector<double>(first, first + probabilities.size(0))}};
      if (!names_.empty()) json["name"] = class_name(names_, best[0]);
      if (options_.given("top")) json["top"] = std::vector<std::int64_t>(best, best + shown);
      fmt::print("{}\n", to_text(json, -1));
      return;
    }
    fmt::print("{}[{}]", printable(name), index);
    for (std::int64_t k = 0; k < shown; ++k)
      fmt::print("\t{}\t{:.4f}", class_name(names_, best[k]), of_class[k]);
    fmt::print("\n");
  }

  const Options& options_;
  const TorchScriptModel& model_;
  ImageShape shape_;
  ClassNames names_;
  bool whole_;
  std::vector<std::string> skipped_;
  std::size_t read_ = 0;
  std::int64_t classes_shown_;
  std::vector<Tensor> shown_;
};

// As many bytes as tell a picture from names of files, but of names no more than a line, so that another
// program may wait for the answer to it.
std::string read_head(std::istream& stream) {
  std::string head;
  for (char c = 0; head.size() < picture_signature_size && stream.get(c);) {
    head.push_back(c);
    const bool maybe_picture = head[0] == 'P' || head[0] == 'B' || head[0] == 'R' || head[0] < ' ';
    if (c == '\n' && !maybe_picture) break;
  }
  return head;
}

// Each name is answered before the next is read.
void predict_stream(std::istream& stream, Predictions& predictions) {
  std::string lines = read_head(stream);
  constexpr char first_of_text = ' ';  // IDX files, gzip and, as char has a sign, PNG and JPEG begin below
  if (lines.empty() || lines.front() < first_of_text || is_picture({lines.begin(), lines.end()})) {
    predictions.print("-", read_stream(stream, "standard input", lines));
    return;
  }
  while (true) {
    const std::size_t end = lines.find('\n');
    if (end == std::string::npos) {
      std::string more;
      const bool read = static_cast<bool>(std::getline(stream, more));
      if (!read && lines.empty()) return;
      lines += more + '\n';
      continue;
    }
    const std::string name = lines.substr(0, end);
    lines.erase(0, end + 1);
    if (!name.empty()) predictions.print(name);
    std::fflush(stdout);
  }
}

}  // namespace

int predict_command(const Arguments& arguments) {
  Options options = predict_options();
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  const std::vector<std::string>& names = options.positional();
  if (names.size() < 2) {
    throw UsageError("name a model and at least one file: `handgrad predict MODEL FILE…`");
  }
  if (options.on("as-is") && options.on("digits")) {
    throw UsageError("--digits: with --as-is nothing is cut out of a picture; leave one of them out");
  }
  if (options.given("show")) require_replaceable(options.text("show"), "show", options);
  const std::int64_t replica = options.integer("replica", 0);
  set_threads(static_cast<int>(options.integer("threads", 1, 1024)));
  const SavedModel saved = open_model(names.front(), replica);
  if (options.on("digits") && saved.model.takes_whole_pictures()) {
    throw UsageError(fmt::format("--digits: {} was trained on whole pictures, not on digits; leave it out",
                                 names.front()));
  }
  Predictions predictions(options, saved);
  for (auto name = names.begin() + 1; name != names.end(); ++name) {
    if (*name == "-") {
      predict_stream(std::cin, predictions);
    } else {
      predictions.print(*name);
    }
  }
  predictions.save_shown();
  predictions.report_skipped();
  return 0;
}

}  // namespace handgrad::app
