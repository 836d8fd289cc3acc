// Labelled images: reading, checking, splitting.
#include "handgrad/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/random.h"
#include "handgrad/data/deskew.h"
#include "handgrad/data/synthetic.h"
#include "handgrad/files/sha256.h"

namespace handgrad {

namespace {

namespace fs = std::filesystem;

// Sizes and seeds of the generated set: another seed for the test images, so that they are new to the
// network.
constexpr std::int64_t synthetic_train_count = 20000;
constexpr std::int64_t synthetic_test_count = 4000;
constexpr std::uint64_t synthetic_train_seed = 1;
constexpr std::uint64_t synthetic_test_seed = 2;

fs::path find_file(const fs::path& directory, const std::string& part, const std::string& kind) {
  for (const char* separator : {"-", "."}) {
    for (const char* ending : {"", ".gz"}) {
      fs::path path = directory / fmt::format("{}{}{}-ubyte{}", part, separator, kind, ending);
      std::error_code unreadable;
      if (fs::exists(path, unreadable)) return path;
    }
  }
  throw DataError(
      fmt::format("{}: no {}-{}-ubyte (or .gz) in this directory; put it there, or fetch MNIST into a "
                  "directory of its own with scripts/fetch_mnist.sh DIR",
                  directory.string(), part, kind));
}

std::int64_t share(double fraction, std::int64_t count) {
  return std::llround(fraction * static_cast<double>(count));
}

IdxArray read_idx(const fs::path& path) {
  return parse_idx(read_file(path), path.string());
}

void read_pair(const fs::path& directory, const std::string& part, IdxArray& images, IdxArray& labels,
               std::int64_t& label_limit, std::int64_t classes) {
  const fs::path images_path = find_file(directory, part + "-images", "idx3");
  const fs::path labels_path = find_file(directory, part + "-labels", "idx1");
  images = read_idx(images_path);
  labels = read_idx(labels_path);
  if (images.shape.size() != 3) {
    throw DataError(fmt::format("{}: has {}; images have 3: count, rows, columns", images_path.string(),
                                counted(images.shape.size(), "dimension")));
  }
  if (labels.shape.size() != 1) {
    throw DataError(fmt::format("{}: has {}; labels have 1", labels_path.string(),
                                counted(labels.shape.size(), "dimension")));
  }
  if (images.shape[0] != labels.shape[0]) {
    throw DataError(fmt::format("{}: holds {} but {} holds {}; the two must belong together",
                                images_path.string(), counted(images.shape[0], "image"),
                                labels_path.filename().string(), counted(labels.shape[0], "label")));
  }
  const auto largest = std::max_element(labels.values.begin(), labels.values.end());
  const std::int64_t needed = *largest + 1;
  if (needed > (classes > 0 ? classes : most_classes_unasked)) {
    const std::string fault = fmt::format("image {} of {} has the label {}", largest - labels.values.begin(),
                                          labels_path.string(), *largest);
    throw DataError(
        "classes",
        classes > 0
            ? fmt::format("got {}, but {}; must be at least {} for that", classes, fault, needed)
            : fmt::format("{}, and more than {} classes must be asked for; give {}, or mend the label", fault,
                          most_classes_unasked, needed));
  }
  label_limit = std::max(label_limit, needed);
}

Dataset synthetic_dataset() {
  Dataset dataset;
  dataset.name = synthetic_name;
  LabelledImages train = synthetic_digits(synthetic_train_count, synthetic_train_seed);
  LabelledImages test = synthetic_digits(synthetic_test_count, synthetic_test_seed);
  dataset.train_images = std::move(train.images);
  dataset.train_labels = std::move(train.labels);
  dataset.test_images = std::move(test.images);
  dataset.test_labels = std::move(test.labels);
  dataset.classes = 10;
  return dataset;
}

}  // namespace

std::string Dataset::sha256() const {
  Sha256 sum;
  for (const IdxArray* array : {&train_images, &train_labels, &test_images, &test_labels}) {
    sum.update(as_text(serialize_idx(*array)));
  }
  return sum.hex();
}

Dataset load_dataset(const std::string& source, std::int64_t classes) {
  if (source == synthetic_name) {
    if (classes == 0 || classes == 10) return synthetic_dataset();
    throw DataError(
        "classes",
        fmt::format("got {}, but the synthetic digits have 10 classes; choose 10, or other data", classes));
  }
  const fs::path directory(source);
  std::error_code unreadable;
  if (!fs::is_directory(directory, unreadable)) {
    throw DataError(
        fmt::format("{}: is not a directory; name one with the four files of a data set "
                    "(scripts/fetch_mnist.sh fetches those of MNIST), or `synthetic`",
                    source));
  }
  Dataset dataset;
  dataset.name = source;
  std::int64_t label_limit = 0;
  read_pair(directory, "train", dataset.train_images, dataset.train_labels, label_limit, classes);
  read_pair(directory, "t10k", dataset.test_images, dataset.test_labels, label_limit, classes);
  dataset.classes = classes > 0 ? classes : std::max<std::int64_t>(label_limit, 2);
  const auto& train = dataset.train_images.shape;
  const auto& test = dataset.test_images.shape;
  if (train[1] != test[1] || train[2] != test[2]) {
    throw DataError(
        fmt::format("{}: training images are {} × {} but test images {} × {}; they must be of one size",
                    source, train[1], train[2], test[1], test[2]));
  }
  return dataset;
}

SplitIndices split_indices(std::int64_t train_count, std::int64_t test_count, const SplitOptions& options) {
  if (!(options.validation_fraction >= 0 && options.validation_fraction < 1)) {
    throw ArgumentError("validation_fraction",
                        fmt::format("got {}; must be at least 0 and below 1", options.validation_fraction));
  }
  const bool pooled = options.kind == SplitOptions::Kind::pooled;
  std::vector<std::int64_t> order(static_cast<std::size_t>(pooled ? train_count + test_count : train_count));
  std::iota(order.begin(), order.end(), 0);
  Random(options.seed, Stream::split).shuffle(order);

  const auto test_end = order.begin() + (pooled ? share(0.2, order.end() - order.begin()) : 0);
  const std::int64_t rest = order.end() - test_end;
  const auto validation_end = test_end + share(options.validation_fraction, rest);

  SplitIndices indices;
  indices.test.assign(order.begin(), test_end);
  indices.validation.assign(test_end, validation_end);
  indices.train.assign(validation_end, order.end());
  if (!pooled) {
    indices.test.resize(static_cast<std::size_t>(test_count));
    std::iota(indices.test.begin(), indices.test.end(), train_count);
  }
  if (indices.test.empty()) {
    throw DataError(
        "split", fmt::format("pooled keeps 20 % of all images as the test set; {}: too few; choose official",
                             counted(order.size(), "image")));
  }
  if (indices.train.empty()) {
    throw DataError("validation_fraction",
                    fmt::format("{} leaves none of {} to train on; choose a smaller one",
                                options.validation_fraction, counted(rest, "image")));
  }
  if (indices.validation.empty() && options.validation_fraction > 0) {
    throw DataError("validation_fraction",
                    fmt::format("{} of {} is less than one image; choose a larger one, "
                                "or 0 for training without validation",
                                options.validation_fraction, counted(rest, "image")));
  }
  if (options.twice) {
    const auto count = static_cast<std::int64_t>(indices.train.size());
    const std::int64_t kept = count - share(options.validation_fraction, count);
    if (kept == count || kept == 0) {
      throw DataError("validation_fraction",
                      fmt::format("{} cannot split {} once more; choose another", options.validation_fraction,
                                  counted(count, "image")));
    }
    indices.watched.assign(indices.train.begin() + kept, indices.train.end());
    indices.train.resize(static_cast<std::size_t>(kept));
  }
  return indices;
}

Tensor as_tensor(const IdxArray& array) {
  // from_blob wants a mutable pointer.
  auto* values =
      const_cast<std::uint8_t*>(array.values.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  return at::from_blob(values, array.shape, at::kByte);
}

Tensor one_hot(const IdxArray& labels, std::int64_t classes, const at::TensorOptions& options) {
  const Tensor indices = as_tensor(labels).to(options.device(), at::kLong).unsqueeze(1);
  return at::zeros({labels.shape[0], classes}, options).scatter_(1, indices, 1);
}

Examples Examples::part(std::int64_t begin, std::int64_t count) const {
  Examples result = *this;
  if (rows.defined()) {
    result.rows = rows.narrow(1, begin, count);
  } else {
    result.pixels = pixels.narrow(0, begin, count);
    result.targets = targets.narrow(0, begin, count);
  }
  return result;
}

Splits split(const Dataset& dataset, const SplitOptions& options, const at::TensorOptions& tensor_options) {
  return split(dataset, options, {options.seed}, tensor_options);
}

Splits split(const Dataset& dataset, const SplitOptions& options, const std::vector<std::uint64_t>& seeds,
             const at::TensorOptions& tensor_options) {
  std::vector<SplitIndices> lanes;
  for (const std::uint64_t seed : seeds) {
    SplitOptions of_lane = options;
    of_lane.seed = seed;
    lanes.push_back(split_indices(dataset.train_count(), dataset.test_count(), of_lane));
  }
  const ImageShape shape{dataset.rows(), dataset.columns()};
  Tensor pixels =
      at::cat({as_tensor(dataset.train_images).flatten(1), as_tensor(dataset.test_images).flatten(1)});
  if (options.deskew) pixels = deskewed(pixels, shape);
  pixels = pixels.to(tensor_options.device());
  const Tensor targets = at::cat({one_hot(dataset.train_labels, dataset.classes, tensor_options),
                                  one_hot(dataset.test_labels, dataset.classes, tensor_options)});
  const auto rows_of = [&](const auto& chosen_of) {
    std::vector<Tensor> of_lanes;
    for (const SplitIndices& indices : lanes) of_lanes.push_back(at::tensor(chosen_of(indices), at::kLong));
    return at::stack(of_lanes).to(tensor_options.device());
  };
  Standardisation standardisation;
  if (options.standardise) {
    standardisation = standardisation_of(
        pixels, rows_of([](const SplitIndices& indices) { return indices.train; }), targets.options());
  }
  const auto pick = [&](const auto& chosen_of) {
    const Tensor rows = rows_of(chosen_of);
    if (lanes.size() > 1) return Examples{pixels, targets, rows, shape, standardisation};
    return Examples{
        pixels.index_select(0, rows[0]), targets.index_select(0, rows[0]), {}, shape, standardisation};
  };
  Splits splits;
  splits.validation = pick([](const SplitIndices& indices) { return indices.validation; });
  splits.test = pick([](const SplitIndices& indices) { return indices.test; });
  if (!options.twice) {
    splits.train = pick([](const SplitIndices& indices) { return indices.train; });
    splits.measured = splits.train;
    splits.watched = splits.validation;
  } else {
    splits.measured = pick([](const SplitIndices& indices) {
      std::vector<std::int64_t> both = indices.train;
      both.insert(both.end(), indices.watched.begin(), indices.watched.end());
      return both;
    });
    const auto kept = static_cast<std::int64_t>(lanes.front().train.size());
    splits.train = splits.measured.part(0, kept);
    splits.watched = splits.measured.part(kept, splits.measured.count() - kept);
  }
  return splits;
}

}  // namespace handgrad
