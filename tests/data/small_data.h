// Small data sets for tests: random pixels with a pattern to learn, in memory or as IDX files.
#pragma once

#include <filesystem>
#include <string>

#include "handgrad/base/random.h"
#include "handgrad/data/dataset.h"
#include "handgrad/files/file.h"

namespace handgrad {

// `count` images of rows × columns; class c brightens the pixels whose position is c modulo `classes`.
inline void fill_patterns(IdxArray& images, IdxArray& labels, std::int64_t count, std::int64_t rows,
                          std::int64_t columns, std::int64_t classes, std::uint64_t seed) {
  images = {{count, rows, columns}, {}};
  labels = {{count}, {}};
  Random random(seed, Stream::synthetic);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = i % classes;
    labels.values.push_back(static_cast<std::uint8_t>(label));
    for (std::int64_t p = 0; p < rows * columns; ++p) {
      images.values.push_back(
          static_cast<std::uint8_t>(random.below(120) + (p % classes == label ? 120 : 0)));
    }
  }
}

inline Dataset small_dataset(std::int64_t train, std::int64_t test, std::int64_t rows = 6,
                             std::int64_t columns = 5, std::int64_t classes = 3) {
  Dataset dataset;
  dataset.name = "small";
  dataset.classes = classes;
  fill_patterns(dataset.train_images, dataset.train_labels, train, rows, columns, classes, 1);
  fill_patterns(dataset.test_images, dataset.test_labels, test, rows, columns, classes, 2);
  return dataset;
}

inline void write_idx(const std::filesystem::path& path, const IdxArray& array) {
  const Bytes bytes = serialize_idx(array);
  write_file(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

inline void write_dataset(const std::filesystem::path& directory, const Dataset& dataset) {
  write_idx(directory / "train-images-idx3-ubyte", dataset.train_images);
  write_idx(directory / "train-labels-idx1-ubyte", dataset.train_labels);
  write_idx(directory / "t10k-images-idx3-ubyte", dataset.test_images);
  write_idx(directory / "t10k-labels-idx1-ubyte", dataset.test_labels);
}

}  // namespace handgrad
