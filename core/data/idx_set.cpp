// Data sets of the MNIST family.
#include "handgrad/data/idx_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"

namespace handgrad {

namespace {

namespace fs = std::filesystem;

// The sets of EMNIST, and how many classes each has.
struct EmnistSet {
  const char* prefix;
  std::int64_t classes;
};
constexpr const char* emnist = "emnist-";
constexpr const char* emnist_letters = "emnist-letters-";
constexpr std::array<EmnistSet, 6> emnist_sets = {{{emnist_letters, 26},
                                                   {"emnist-balanced-", 47},
                                                   {"emnist-bymerge-", 47},
                                                   {"emnist-byclass-", 62},
                                                   {"emnist-digits-", 10},
                                                   {"emnist-mnist-", 10}}};

// "images-idx3-ubyte" as it may be written.
std::vector<std::string> names_of(const std::string& what, int dimensions) {
  std::vector<std::string> names;
  for (const char* separator : {"-", "."}) {
    for (const char* ending : {"", ".gz"}) {
      names.push_back(fmt::format("{}{}idx{}-ubyte{}", what, separator, dimensions, ending));
    }
  }
  return names;
}

bool is_there(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

// What stands before "train-images-idx3-ubyte" and the like; none where the name is another.
std::optional<std::string> prefix_in(const std::string& name) {
  for (const char* part : {"train-", "t10k-", "test-"}) {
    for (const auto& [kind, dimensions] : {std::pair<std::string, int>{"images", 3}, {"labels", 1}}) {
      for (const std::string& ending : names_of(part + kind, dimensions)) {
        if (name.size() < ending.size()) continue;
        const std::string prefix = name.substr(0, name.size() - ending.size());
        if (prefix + ending != name) continue;
        if (prefix.empty() || prefix.back() == '-') return prefix;
      }
    }
  }
  return std::nullopt;
}

std::set<std::string> prefixes_in(const fs::path& directory) {
  std::set<std::string> prefixes;
  std::error_code unreadable;
  for (fs::directory_iterator entry(directory, unreadable), end; !unreadable && entry != end;
       entry.increment(unreadable)) {
    if (const auto prefix = prefix_in(entry->path().filename().string())) prefixes.insert(*prefix);
  }
  return prefixes;
}

// "emnist-letters" of "emnist-letters-".
std::string set_name(const std::string& prefix) {
  return prefix.substr(0, prefix.size() - 1);
}

fs::path find_file(const IdxSet& set, const std::vector<std::string>& parts, const std::string& kind,
                   int dimensions) {
  for (const std::string& part : parts) {
    for (const std::string& name : names_of(fmt::format("{}-{}", part, kind), dimensions)) {
      fs::path path = set.directory / (set.prefix + name);
      if (is_there(path)) return path;
    }
  }
  throw DataError(fmt::format(
      "{}: no {}{}-{}-idx{}-ubyte (or .gz) in this directory; put it there, or fetch the set into a "
      "directory of its own with scripts/fetch_data.sh",
      printable(set.directory.string()), printable(set.prefix), parts.front(), kind, dimensions));
}

IdxArray read_idx(const fs::path& path) {
  return parse_idx(read_file(path), path.string());
}

void require_dimensions(const IdxArray& array, std::size_t dimensions, const std::string& file,
                        const char* what) {
  if (array.shape.size() == dimensions) return;
  throw DataError(fmt::format("{}: has {}; {}", file, counted(array.shape.size(), "dimension"), what));
}

// Images and their labels, as the files have them.
struct Pair {
  IdxArray images, labels;
  std::string images_file, labels_file;
};

Pair read_pair(const IdxSet& set, const std::vector<std::string>& parts) {
  const fs::path images_path = find_file(set, parts, "images", 3);
  const fs::path labels_path = find_file(set, parts, "labels", 1);
  Pair pair{read_idx(images_path), read_idx(labels_path), printable(images_path.string()),
            printable(labels_path.string())};
  require_dimensions(pair.images, 3, pair.images_file, "images have 3: count, rows, columns");
  require_dimensions(pair.labels, 1, pair.labels_file, "labels have 1");
  if (pair.images.shape[0] != pair.labels.shape[0]) {
    throw DataError(fmt::format("{}: holds {} but {} holds {}; the two must belong together",
                                pair.images_file, counted(pair.images.shape[0], "image"),
                                printable(labels_path.filename().string()),
                                counted(pair.labels.shape[0], "label")));
  }
  return pair;
}

// Images whose pixels are stored column by column.
void transpose(IdxArray& images) {
  const auto columns = static_cast<std::size_t>(images.shape[1]);
  const auto rows = static_cast<std::size_t>(images.shape[2]);
  const std::size_t pixels = rows * columns;
  Bytes upright(pixels);
  for (auto image = images.values.begin(); image != images.values.end();
       image += static_cast<std::ptrdiff_t>(pixels)) {
    for (std::size_t y = 0; y < rows; ++y) {
      for (std::size_t x = 0; x < columns; ++x) {
        upright[y * columns + x] = *(image + static_cast<std::ptrdiff_t>(x * rows + y));
      }
    }
    std::copy(upright.begin(), upright.end(), image);
  }
  std::swap(images.shape[1], images.shape[2]);
}

// The names of the classes, and the file that has them.
struct NamedClasses {
  ClassNames names;
  std::string file;
};

NamedClasses read_names(const IdxSet& set, std::int64_t first_label) {
  for (const std::string& name : {set.prefix + "labels.txt", std::string("labels.txt")}) {
    const fs::path path = set.directory / name;
    if (is_there(path)) {
      return {parse_labels(as_text(read_file(path)), path.string()), printable(path.string())};
    }
  }
  const fs::path path = set.directory / (set.prefix + "mapping.txt");
  if (set.prefix.empty() || !is_there(path)) return {};
  return {parse_mapping(as_text(read_file(path)), first_label, path.string()), printable(path.string())};
}

// How many classes there are: as many as have names, else as many as are asked for, else as the labels say, up to
// what is known of the set.
class ClassCount {
 public:
  ClassCount(const IdxSet& set, const NamedClasses& named, std::int64_t asked, std::int64_t first_label)
      : named_(named), asked_(asked), first_label_(first_label) {
    const auto* known =
        std::find_if(emnist_sets.begin(), emnist_sets.end(),
                     [&](const EmnistSet& emnist_set) { return emnist_set.prefix == set.prefix; });
    if (known != emnist_sets.end()) known_ = known->classes;
    const auto names = static_cast<std::int64_t>(named.names.size());
    if (names > 0 && asked > 0 && asked != names) {
      throw DataError("classes",
                      fmt::format("got {}, but {} names {} classes; leave it out", asked, named.file, names));
    }
  }

  // Throws DataError where one of the labels, which begin with 0 here, is that of no class.
  void take(const Pair& pair) {
    const auto largest = std::max_element(pair.labels.values.begin(), pair.labels.values.end());
    const std::int64_t needed = *largest + 1;
    needed_ = std::max(needed_, needed);
    const std::string fault =
        fmt::format("image {} of {} has the label {}", largest - pair.labels.values.begin(), pair.labels_file,
                    *largest + first_label_);
    const auto names = static_cast<std::int64_t>(named_.names.size());
    if (names > 0 && needed > names) {
      throw DataError(fmt::format("{}, but {} names {} classes; add their names, or mend the label", fault,
                                  named_.file, names));
    }
    if (names > 0 || needed <= (asked_ > 0 ? asked_ : known_)) return;
    throw DataError("classes",
                    asked_ > 0
                        ? fmt::format("got {}, but {}; must be at least {} for that", asked_, fault, needed)
                        : fmt::format("{}, and more than {} classes must be asked for or have "
                                      "names in a labels.txt; give {}, or mend the label",
                                      fault, known_, needed));
  }

  std::int64_t count() const {
    if (!named_.names.empty()) return static_cast<std::int64_t>(named_.names.size());
    if (asked_ > 0) return asked_;
    return known_ != most_classes_unasked ? known_ : std::max<std::int64_t>(needed_, 2);
  }

 private:
  const NamedClasses& named_;
  std::int64_t asked_, first_label_;
  std::int64_t known_ = most_classes_unasked;
  std::int64_t needed_ = 0;
};

bool counts_from_one(const Pair& pair) {
  return *std::min_element(pair.labels.values.begin(), pair.labels.values.end()) >= 1;
}

void count_from_zero(Pair& pair) {
  for (std::uint8_t& label : pair.labels.values) --label;
}

void require_expected_names(const Dataset& dataset, const ClassNames& expected) {
  if (expected.empty() || dataset.class_names.empty() || dataset.class_names == expected) return;
  throw DataError(
      fmt::format("{}: has the classes {}, but the model knows {}; use the data set that it was "
                  "trained on",
                  printable(dataset.name), list_of(dataset.class_names), list_of(expected)));
}

}  // namespace

std::optional<IdxSet> find_idx_set(const std::string& source) {
  const fs::path path(source);
  std::error_code unreadable;
  if (!fs::is_directory(path, unreadable)) {
    if (path.filename().empty()) return std::nullopt;
    const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
    const std::set<std::string> prefixes = prefixes_in(directory);
    const std::string name = path.filename().string() + "-";
    for (const std::string& prefix : {name, emnist + name}) {
      if (prefixes.count(prefix) > 0) return IdxSet{directory, prefix};
    }
    return std::nullopt;
  }
  const std::set<std::string> prefixes = prefixes_in(path);
  if (prefixes.empty()) return std::nullopt;
  if (prefixes.count("") == 0 && prefixes.size() > 1) {
    const std::vector<std::string> list(prefixes.begin(), prefixes.end());
    throw DataError(
        fmt::format("{}: holds several data sets: {}; name one of them, such as {}", printable(source),
                    printable_list(list.size(), [&](std::size_t i) { return printable(set_name(list[i])); }),
                    printable((path / set_name(list.front())).string())));
  }
  return IdxSet{path, *prefixes.begin()};
}

Dataset read_idx_set(const IdxSet& set, const DataRequest& request) {
  const std::vector<std::string> test_parts = set.prefix.empty() ? std::vector<std::string>{"t10k", "test"}
                                                                 : std::vector<std::string>{"test", "t10k"};
  Pair train = read_pair(set, {"train"});
  Pair test = read_pair(set, test_parts);
  std::int64_t first_label = 0;
  if (set.prefix == emnist_letters && counts_from_one(train) && counts_from_one(test)) {
    first_label = 1;
    count_from_zero(train);
    count_from_zero(test);
  }
  const NamedClasses named = read_names(set, first_label);
  ClassCount classes(set, named, request.classes, first_label);
  classes.take(train);
  classes.take(test);
  const std::vector<std::int64_t> of_train = train.images.shape;
  const std::vector<std::int64_t> of_test = test.images.shape;
  if (of_train[1] != of_test[1] || of_train[2] != of_test[2]) {
    throw DataError(
        fmt::format("{}: training images are {} × {} but test images {} × {}; they must be of one size",
                    printable(request.source), of_train[1], of_train[2], of_test[1], of_test[2]));
  }
  Dataset dataset;
  dataset.name = request.source;
  dataset.train_images = std::move(train.images);
  dataset.train_labels = std::move(train.labels);
  dataset.test_images = std::move(test.images);
  dataset.test_labels = std::move(test.labels);
  dataset.classes = classes.count();
  dataset.class_names = named.names;
  if (set.prefix.rfind(emnist, 0) == 0) {
    transpose(dataset.train_images);
    transpose(dataset.test_images);
  }
  require_expected_names(dataset, request.class_names);
  if (dataset.class_names.empty()) dataset.class_names = request.class_names;
  return dataset;
}

}  // namespace handgrad
