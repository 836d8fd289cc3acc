// Labelled images: read from IDX files or folders of pictures, or generated, split into training, validation and
// test sets, and turned into tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/base/tensor.h"
#include "handgrad/data/class_names.h"
#include "handgrad/data/idx.h"
#include "handgrad/data/image_shape.h"
#include "handgrad/data/pixels.h"

namespace handgrad {

// Pixels as they are on disk, or as scaled_picture() makes them.
struct Dataset {
  std::string name;  // its source, or "synthetic"
  IdxArray train_images, train_labels;
  IdxArray test_images, test_labels;
  std::int64_t classes = 0;
  ClassNames class_names;            // one for each class; none where nobody named them
  bool of_pictures = false;          // whole pictures, scaled
  std::vector<std::string> files;    // of such pictures, behind the source: of training, then of the test
  std::vector<std::string> skipped;  // the files that could not be read, with the reason

  std::int64_t rows() const { return train_images.shape[1]; }
  std::int64_t columns() const { return train_images.shape[2]; }
  std::int64_t train_count() const { return train_images.shape[0]; }
  std::int64_t test_count() const { return test_images.shape[0]; }

  // What people find an image by, of the training images first, then of the test images: its file behind the
  // source, else which of the IDX files and the position in it, such as "t10k 4740".
  std::string image_name(std::int64_t index) const;

  // SHA-256, in hexadecimal, of four unpacked IDX files one after the other, which these images and labels are or
  // would make: train images, train labels, test images, test labels.
  std::string sha256() const;
};

constexpr const char* synthetic_name = "synthetic";

constexpr ImageShape default_image_size = {28, 28};
constexpr double default_test_fraction = 0.2;

// Which data are to be read, and how.
struct DataRequest {
  // A directory with the four files of a set of the MNIST family, as read_idx_set() takes them; a set among
  // others by the beginning of its files' names, such as "emnist/emnist-letters"; a directory with a folder of
  // pictures for each class, as read_picture_folder() takes it; or "synthetic" for the built-in generator.
  std::string source;
  std::int64_t classes = 0;              // 0: as many as have names, else as the labels say
  std::optional<ImageShape> image_size;  // of pictures in folders; none: the default
  std::optional<double>
      test_fraction;             // of folders that say of no picture that it is for testing; none: the same
  bool skip_unreadable = false;  // pictures that cannot be read are left out
  ClassNames class_names;        // what labels must count; none: as the data have them
};

// Whether it is a directory of folders of pictures, and not one of IDX files. Throws what find_idx_set() throws.
bool is_picture_folder(const std::string& source);

// Throws DataError, naming the file; of the settings "classes", "image_size" and "test_fraction" where these do
// not go with the data.
Dataset load_dataset(const DataRequest& request);
Dataset load_dataset(const std::string& source, std::int64_t classes = 0);

struct SplitOptions {
  enum class Kind { official, pooled };

  // official: the training files give training and validation, the test files the test set.
  // pooled: all images together; 20 % are the test set, the rest is training and validation.
  Kind kind = Kind::official;
  double validation_fraction = 0.2;  // of what is not the test set; 0: no validation set
  std::uint64_t seed = 1;
  bool twice = false;        // split what is left to train on once more, with the same fraction
  bool deskew = false;       // all images: networks see them as deskewed() makes them
  bool standardise = false;  // all images, by the mean and the deviation of those that are trained on
};

// Which image of the training files (first), then of the test files, goes where.
struct SplitIndices {
  std::vector<std::int64_t> train, validation, test;
  std::vector<std::int64_t> watched;  // of a set that is split twice: what was split off last; else empty
};

// Disjoint and together all images; a function of the counts and the options alone.
// Throws DataError when no image is left to train on.
SplitIndices split_indices(std::int64_t train_count, std::int64_t test_count, const SplitOptions& options);

// A set of N images ready for training. Pixels stay bytes until their batch comes: a gathered byte costs a
// quarter. Networks side by side share one set, or there are K lanes of them: the networks of a lane, equally
// many in each, have a set of their own, which is drawn from the same P images.
struct Examples {
  Tensor pixels;   // [P, inputs], uint8
  Tensor targets;  // [P, classes], one-hot, floating
  Tensor rows;  // [K, N], int64: which of the images a lane has; undefined for one lane, which has them all
  ImageShape shape = {};                 // of each image
  Standardisation standardisation = {};  // of the images that networks see; undefined: 0 to 1

  std::int64_t count() const { return rows.defined() ? rows.size(1) : pixels.size(0); }
  std::int64_t lanes() const { return rows.defined() ? rows.size(0) : 1; }

  // The images from `begin` on, without a copy.
  Examples part(std::int64_t begin, std::int64_t count) const;
};

struct Splits {
  Examples train, validation, test;  // validation may be empty
  // What decides when training stops, and what training accuracy is measured on: validation and train, but of
  // a set that is split twice the part split off last, and both parts together.
  Examples watched, measured;
};

// tensor_options: the device of both, the dtype of the targets.
Splits split(const Dataset& dataset, const SplitOptions& options, const at::TensorOptions& tensor_options);

// A lane for each seed, which takes the place of that of the options.
Splits split(const Dataset& dataset, const SplitOptions& options, const std::vector<std::uint64_t>& seeds,
             const at::TensorOptions& tensor_options);

// The array as a uint8 tensor on the same memory, for reading only, as long as the array lives.
Tensor as_tensor(const IdxArray& array);

// Labels [N] as one-hot rows [N, classes].
Tensor one_hot(const IdxArray& labels, std::int64_t classes, const at::TensorOptions& options);

}  // namespace handgrad
