// Labelled images: reading, checking, splitting.
#include "handgrad/data/dataset.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/base/random.h"
#include "handgrad/data/deskew.h"
#include "handgrad/data/idx_set.h"
#include "handgrad/data/picture_folder.h"
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

std::int64_t share(double fraction, std::int64_t count) {
  return std::llround(fraction * static_cast<double>(count));
}

Dataset synthetic_dataset(std::int64_t classes) {
  if (classes != 0 && classes != 10) {
    throw DataError(
        "classes",
        fmt::format("got {}, but the synthetic digits have 10 classes; choose 10, or other data", classes));
  }
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

void require_no_pictures_asked(const DataRequest& request) {
  const char* setting = request.image_size ? "image_size" : request.test_fraction ? "test_fraction" : nullptr;
  if (setting == nullptr) return;
  throw DataError(setting,
                  fmt::format("is for folders of pictures, but {} has its images and its test set as they "
                              "are; leave it out",
                              printable(request.source)));
}

}  // namespace

std::string Dataset::image_name(std::int64_t index) const {
  if (!files.empty()) return visible(files[static_cast<std::size_t>(index)]);
  const bool of_test = index >= train_count();
  return fmt::format("{} {}", of_test ? "t10k" : "train", of_test ? index - train_count() : index);
}

std::string Dataset::sha256() const {
  Sha256 sum;
  for (const IdxArray* array : {&train_images, &train_labels, &test_images, &test_labels}) {
    sum.update(as_text(header_of(*array))).update(as_text(array->values));
  }
  return sum.hex();
}

Dataset load_dataset(const std::string& source, std::int64_t classes) {
  DataRequest request;
  request.source = source;
  request.classes = classes;
  return load_dataset(request);
}

bool is_picture_folder(const std::string& source) {
  std::error_code unreadable;
  return source != synthetic_name && fs::is_directory(source, unreadable) && !find_idx_set(source);
}

Dataset load_dataset(const DataRequest& request) {
  const std::string& source = request.source;
  const bool synthetic = source == synthetic_name;
  const std::optional<IdxSet> idx = synthetic ? std::nullopt : find_idx_set(source);
  if (synthetic || idx) {
    require_no_pictures_asked(request);
    return idx ? read_idx_set(*idx, request) : synthetic_dataset(request.classes);
  }
  std::error_code unreadable;
  if (!fs::is_directory(source, unreadable)) {
    throw DataError(fmt::format(
        "{}: is not a directory; name one with the four files of a data set "
        "(scripts/fetch_data.sh fetches some) or a folder of pictures for each class, or `synthetic`",
        printable(source)));
  }
  return read_picture_folder(request);
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
