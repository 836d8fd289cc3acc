// Data sets of the MNIST family: four IDX files, and beside them what the classes are called.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "handgrad/data/dataset.h"

namespace handgrad {

struct IdxSet {
  std::filesystem::path directory;
  std::string
      prefix;  // of its files' names: "" of MNIST, Fashion-MNIST and KMNIST, else such as "emnist-letters-"
};

// The set in this directory, or of these files: "emnist/emnist-letters", or for short "emnist/letters". None where
// there are no IDX files. Throws DataError where a directory has several sets, none of them without a prefix.
std::optional<IdxSet> find_idx_set(const std::string& source);

// The files are called PREFIX + "train-images-idx3-ubyte", "train-labels-idx1-ubyte", and the same with "t10k", or
// "test", for "train"; also with a dot before "idx", also with ".gz". EMNIST stores pixels column by column, and
// counts letters from 1: both are undone. Classes are named by PREFIX + "labels.txt" or by "labels.txt", else by
// PREFIX + "mapping.txt"; without names there are as many as the request says, or as the EMNIST set of that name
// has, or as the labels name, then at most most_classes_unasked. Throws DataError, naming the file.
Dataset read_idx_set(const IdxSet& set, const DataRequest& request);

}  // namespace handgrad
