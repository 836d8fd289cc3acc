// `handgrad export`: writes a trained network for other programs, and reads it back with one of them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "cli/interruption.h"
#include "commands/commands.h"
#include "commands/output_file.h"
#include "export/verification.h"
#include "export/web_page.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/file.h"
#include "handgrad/models/c_header.h"
#include "handgrad/models/c_int8.h"
#include "handgrad/models/onnx_file.h"
#include "handgrad/models/state_dict.h"
#include "handgrad/platform/threads.h"
#include "run/labelled_images.h"
#include "run/run_directory.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

// Written for whom; and the end of the file's name.
struct FormatEntry {
  const char* description;
  const char* ending;
};

// In the order of Format.
constexpr FormatEntry formats[] = {
    {"TorchScript", ".pt"},          {"ONNX, opset 13", ".onnx"},
    {"safetensors", ".safetensors"}, {"a PyTorch state dict", ".state_dict.pt"},
    {"a C99 header", ".h"},          {"a page to draw on", ".html"}};

const FormatEntry& entry(Format format) {
  return formats[static_cast<std::size_t>(format)];
}

constexpr const char* ensemble_word = "ensemble";
constexpr const char* int8_word = "int8";
constexpr std::int64_t calibration_images = 1000;
constexpr double largest_mean_of_bytes = 1e-4;
constexpr std::int64_t images_a_changed_class = 1000;

struct ExportRequest {
  std::string model;
  Format format = Format::torchscript;
  bool ensemble = false;
  std::int64_t replica = 0;
  bool fold = false;
  bool int8 = false;
  fs::path output;
};

std::string default_name(const ExportRequest& request) {
  std::string name = "model";
  if (request.ensemble) name += "-ensemble";
  if (request.replica > 0) name += fmt::format("-{}", request.replica);
  if (request.int8) name += fmt::format("-{}", int8_word);
  return name + entry(request.format).ending;
}

ExportRequest read_request(const Options& options) {
  if (options.positional().size() != 1) {
    throw UsageError("name one model: `handgrad export RUN --format NAME`, a run directory or a model file");
  }
  if (options.text("format").empty()) {
    throw UsageError(fmt::format("--format: not given; must be one of {}", fmt::join(format_names(), ", ")));
  }
  ExportRequest request;
  request.model = options.positional().front();
  request.format = static_cast<Format>(options.choice("format", format_names()));
  request.ensemble = options.text("replica") == ensemble_word;
  if (request.ensemble && request.format != Format::torchscript) {
    throw UsageError(
        "--replica: ensemble is written as torchscript only; choose that --format, or one network");
  }
  try {
    if (!request.ensemble) request.replica = options.integer("replica", 0);
  } catch (const UsageError&) {
    throw options.wrong("replica", "a whole number of at least 0, or ensemble");
  }
  request.fold = options.on("fold-batch-norm");
  request.int8 = options.choice("quantise", {"none", int8_word}) == 1;
  if (request.int8 && request.format != Format::c_header && request.format != Format::onnx) {
    throw UsageError(
        "--quantise: int8 is written as c-header or onnx; choose one of these as --format, or leave it out");
  }
  const bool takes_images =
      options.on("verify") || request.ensemble || request.int8 || request.format == Format::html;
  for (const char* flag : {"data", "test-fraction", "skip-unreadable"}) {
    if (!options.given(flag) || takes_images) continue;
    throw UsageError(fmt::format(
        "--{}: is for --verify, --quantise, html and ensembles, which need images; leave it out", flag));
  }
  request.output = options.text("output").empty() ? default_name(request) : options.text("output");
  return request;
}

// What is exported, and the networks that it was made of.
struct Source {
  ModelPlace place;
  std::vector<Model> networks;
};

void check_output(const ExportRequest& request, const ModelPlace& place, const Options& options) {
  std::error_code none;
  for (std::int64_t r = 0; r < place.networks; ++r) {
    const fs::path file = place.trained_on ? place.file.parent_path() / model_file_name(r) : place.file;
    if (fs::equivalent(file, request.output, none)) {
      throw UsageError(fmt::format("--output: {} is the model itself; choose another file",
                                   printable(request.output.string())));
    }
  }
  require_replaceable(request.output, "output", options);
}

Source read_source(const ExportRequest& request, const Options& options) {
  Source source{find_model(request.model, request.replica), {}};
  check_output(request, source.place, options);
  if (!request.ensemble) {
    source.networks.push_back(load_model(source.place.file));
  } else {
    if (!source.place.trained_on) {
      throw ModelError(fmt::format("{}: is no run directory, from which an ensemble is made", request.model));
    }
    if (source.place.networks < 2) {
      throw ModelError(fmt::format("{}: has one network; an ensemble needs a run with --replicas 2 or more",
                                   request.model));
    }
    for (std::int64_t r = 0; r < source.place.networks; ++r) {
      source.networks.push_back(load_model(find_model(request.model, r).file));
    }
  }
  return source;
}

double accuracy(const Tensor& probabilities, const LabelledImages& images) {
  return probabilities.argmax(1).eq(images.labels).to(at::kDouble).mean().item<double>();
}

// By how much the mean of the networks' probabilities is better than the networks.
void print_gain(const std::vector<Model>& networks, double of_ensemble, const LabelledImages& images) {
  double sum = 0;
  double best = 0;
  for (const Model& network : networks) {
    const double of_network = accuracy(probabilities(network, images.pixels), images);
    sum += of_network;
    best = std::max(best, of_network);
  }
  const double mean = sum / static_cast<double>(networks.size());
  fmt::print(
      "  test accuracy: {} networks together {:.2f} %; one by one {:.2f} % in the mean ({:+.2f} points), "
      "the best {:.2f} % ({:+.2f})\n",
      networks.size(), 100 * of_ensemble, 100 * mean, 100 * (of_ensemble - mean), 100 * best,
      100 * (of_ensemble - best));
}

// What a file is made of besides the network: quantised of int8, page_images of html.
struct Content {
  std::optional<QuantisedNetwork> quantised;
  PageImages page_images;
  std::string remark;  // what to print about it
};

std::string serialize(const Model& model, Content& content, const ExportRequest& request) {
  switch (request.format) {
    case Format::torchscript:
      return TorchScriptModel(model).serialize();
    case Format::onnx:
      return content.quantised ? to_int8_onnx(model, *content.quantised) : to_onnx(model);
    case Format::safetensors:
      return to_safetensors(model);
    case Format::state_dict:
      return to_state_dict(model);
    case Format::c_header:
      return content.quantised ? to_int8_c_header(model, *content.quantised, c_prefix(request.output))
                               : to_c_header(model, c_prefix(request.output));
    case Format::html: {
      WebPage page = to_web_page(model, content.page_images);
      content.remark += fmt::format("  {} of these bytes are the weights, {} are {} test images\n",
                                    page.weight_bytes, page.image_bytes, content.page_images.labels.size());
      return std::move(page.html);
    }
  }
  return "";
}

// Throws where the reader does not find the network.
void require_agreement(const Verification& found) {
  if (agrees(found.agreement)) return;
  throw ModelError(fmt::format(
      "the file was not kept, because {} computes something else from it: probabilities differ "
      "by up to {:.1e}, at most {:.0e} is allowed, and {} clear classes changed",
      found.reader, found.agreement.largest_difference, largest_agreed_difference, found.agreement.decided));
}

// The same of a quantised network, of whose integers in C nothing may differ. ONNX has sums as float32, so that
// here and there a byte rounds the other way.
void require_integers(const Verification& found, Format format, std::int64_t images) {
  const Agreement& agreement = found.agreement;
  if (format == Format::c_header) {
    if (agreement.largest_difference == 0) return;
    throw ModelError(fmt::format(
        "the file was not kept, because {} computes something else from it: logits differ by up to "
        "{:.1e}, and must not, and {} classes changed",
        found.reader, agreement.largest_difference, agreement.changed));
  }
  if (agreement.mean_difference <= largest_mean_of_bytes &&
      agreement.changed <= images / images_a_changed_class) {
    return;
  }
  throw ModelError(fmt::format(
      "the file was not kept, because {} computes something else from it: probabilities differ by {:.1e} in the "
      "mean, at most {:.0e} is allowed, and {} of {} classes changed, where at most {} may",
      found.reader, agreement.mean_difference, largest_mean_of_bytes, agreement.changed, images,
      images / images_a_changed_class));
}

void print(const Verification& found, const LabelledImages& images, double accuracy_here) {
  fmt::print("  read by {}\n", found.reader);
  fmt::print(
      "  {} test images: largest difference of a probability {:.1e}, {} changed classes, accuracy {:.2f} % "
      "(here {:.2f} %)\n",
      images.labels.size(0), found.agreement.largest_difference, found.agreement.changed,
      100 * found.accuracy, 100 * accuracy_here);
}

// How well the file has the integers, and what the network lost by them. integers, expected: the probabilities
// of them and before.
void print_quantised(const Verification& found, const LabelledImages& images, const Tensor& integers,
                     const Tensor& expected, Format format) {
  const Agreement loss = compare(expected, integers);
  const Agreement& here = found.agreement;
  fmt::print(
      "  read by {}: {}\n", found.reader,
      format == Format::c_header
          ? "the same logits as here, to the bit"
          : fmt::format(
                "differences of probabilities {:.1e} in the mean and at most {:.1e}, {} changed classes",
                here.mean_difference, here.largest_difference, here.changed));
  fmt::print(
      "  {} test images: accuracy {:.2f} % (before {:.2f} %), {} changed classes, largest difference of a "
      "probability {:.1e}\n",
      images.labels.size(0), 100 * found.accuracy, 100 * accuracy(expected, images), loss.changed,
      loss.largest_difference);
}

Options export_options() {
  Options options("export",
                  "writes a trained network for other programs: of a run directory, or of a model file",
                  "MODEL");
  options.value("format", "", "NAME", fmt::format("{}", fmt::join(format_names(), ", ")))
      .value("output", "", "FILE", "the file to write [model.ENDING here]")
      .value("replica", "0", "R",
             "which network of a run, from 0; ensemble: all as one, as torchscript, measured on test images")
      .toggle(
          "fold-batch-norm",
          "put batch norm into the weights of the next layer, or of its own where it is before the activation")
      .value(
          "quantise", "none", "NAME",
          "int8: bytes for weights and activations, by training images; as c-header or onnx, batch norm folded")
      .toggle("verify", "read the file back with another program, and keep it only if that agrees")
      .value("data", "", "DIR",
             "whose test images to verify on and to show, and training images to quantise by [those of the "
             "run, else MNIST_DIR, else data/mnist]");
  add_test_data_flags(options);
  add_force_flag(options);
  return options;
}

Model model_to_export(const Source& source, const ExportRequest& request) {
  const Model& first = source.networks.front();
  Model model = request.ensemble ? join_models(source.networks) : model_of(*first.network, 0, first.info);
  if (request.ensemble)
    model.info.training_config = with_replicas(model.info.training_config, source.place.networks);
  if (request.fold && !model.network->architecture().has_batch_norm()) {
    throw ModelError(
        fmt::format("{}: has no batch norm to fold; leave out --fold-batch-norm", request.model));
  }
  return model;
}

ModelInputs inputs_of(const Model& model) {
  return {model.info.shape, model.network->architecture().classes, model.info.class_names};
}

// Some of the images that it was trained on.
Tensor calibration_pixels(const Model& model, const ModelPlace& place, const Options& options) {
  const LabelledImages trained_on = load_images(options, place, inputs_of(model), "train");
  return trained_on.pixels.slice(0, 0, calibration_images);
}

// Test images, where they are needed; for a page, where there are any, and `remark` says why not.
std::optional<LabelledImages> test_images(const Model& model, const ModelPlace& place,
                                          const ExportRequest& request, const Options& options,
                                          std::string& remark) {
  const bool shows_images = request.format == Format::html;
  const bool needed = options.on("verify") || request.ensemble || (shows_images && options.given("data"));
  if (!needed && !shows_images) return std::nullopt;
  try {
    return load_images(options, place, inputs_of(model), "test");
  } catch (const Error& error) {
    if (needed) throw;
    remark = fmt::format("  without test images: {}\n", error.what());
    return std::nullopt;
  }
}

}  // namespace

int export_command(const Arguments& arguments) {
  Options options = export_options();
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  const ExportRequest request = read_request(options);
  set_threads(1);
  const Source source = read_source(request, options);
  Model model = model_to_export(source, request);
  const Architecture architecture = model.network->architecture();

  Content content;
  const std::optional<LabelledImages> images =
      test_images(model, source.place, request, options, content.remark);
  Tensor expected;
  if (images) expected = probabilities(model, images->pixels);
  if (images && request.format == Format::html) content.page_images = choose_page_images(*images, expected);
  if (request.ensemble) {
    // Of other data it would say nothing about the training that the file names.
    model.info.test_accuracy.reset();
    if (!options.given("data")) model.info.test_accuracy = accuracy(expected, *images);
  }
  if (request.fold || (request.int8 && architecture.has_batch_norm())) model = fold_batch_norm(model);
  std::optional<QuantisedNetwork>& quantised = content.quantised;
  if (request.int8) {
    quantised = quantise(model, calibration_pixels(model, source.place, options));
    model.info.test_accuracy.reset();  // it was measured before
  }

  const std::string bytes = serialize(model, content, request);
  std::optional<Verification> found;
  FileCheck check;
  Tensor integer_logits;
  Tensor integers;
  if (options.on("verify")) {
    if (quantised) {
      integer_logits = logits(*quantised, images->pixels);
      integers = at::softmax(integer_logits, 1);
    }
    check = [&](const fs::path& path) {
      found = verify({path, request.format, model.info.shape, architecture.classes, c_prefix(request.output),
                      request.int8},
                     images->pixels, images->labels,
                     !quantised                           ? expected
                     : request.format == Format::c_header ? integer_logits
                                                          : integers);
      if (quantised) {
        require_integers(*found, request.format, images->labels.size(0));
      } else {
        require_agreement(*found);
      }
    };
  }
  catch_interruptions();
  try {
    write_file(request.output, bytes, check);
  } catch (const Error& error) {
    if (interruption() == 0) throw;
    std::fputs(fmt::format("handgrad: {}\n", error.what()).c_str(), stderr);
    return interruption_exit_code();
  }

  fmt::print("{} as {}{}, {} bytes\n{}", describe(model.network->architecture(), model.info.deskew),
             entry(request.format).description, request.int8 ? ", int8" : "", bytes.size(), content.remark);
  if (request.ensemble) print_gain(source.networks, accuracy(expected, *images), *images);
  if (found && quantised) print_quantised(*found, *images, integers, expected, request.format);
  if (found && !quantised) print(*found, *images, accuracy(expected, *images));
  fmt::print("saved: {}\n", printable(request.output.string()));
  return 0;
}

}  // namespace handgrad::app
