// Data sets of the MNIST family: names, labels and pixels as each of them has them.
#include "handgrad/data/idx_set.h"

#include "data/small_data.h"
#include "data/small_files.h"
#include "handgrad/base/errors.h"
#include "handgrad/files/temporary_directory.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

// A set as EMNIST has it: transposed pixels, labels from `first` on.
void write_emnist(const std::filesystem::path& directory, const std::string& prefix, const Dataset& upright,
                  std::uint8_t first) {
  for (const bool train : {true, false}) {
    IdxArray images = train ? upright.train_images : upright.test_images;
    IdxArray labels = train ? upright.train_labels : upright.test_labels;
    const auto rows = static_cast<std::size_t>(images.shape[1]);
    const auto columns = static_cast<std::size_t>(images.shape[2]);
    const Bytes pixels = images.values;
    std::swap(images.shape[1], images.shape[2]);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const std::size_t image = i / (rows * columns);
      const std::size_t x = i % (rows * columns) / rows;
      const std::size_t y = i % rows;
      images.values[i] = pixels[(image * rows + y) * columns + x];
    }
    for (std::uint8_t& label : labels.values) label = static_cast<std::uint8_t>(label + first);
    const std::string part = prefix + (train ? "train" : "test");
    write_idx(directory / (part + "-images-idx3-ubyte"), images);
    write_idx(directory / (part + "-labels-idx1-ubyte"), labels);
  }
}

}  // namespace

TEST_CASE("EMNIST is set upright, and its letters count from 0", "[dataset]") {
  const TemporaryDirectory directory;
  const auto [prefix, first, classes] = GENERATE(values<std::tuple<std::string, std::uint8_t, std::int64_t>>(
      {{"emnist-letters-", 1, 26}, {"emnist-balanced-", 0, 47}, {"emnist-byclass-", 0, 62}}));
  const Dataset upright = small_dataset(2 * classes, classes, 6, 5, classes);
  write_emnist(directory.path(), prefix, upright, first);
  Dataset dataset = load_dataset(directory.path().string());
  CHECK(dataset.rows() == 6);
  CHECK(dataset.columns() == 5);
  CHECK(dataset.classes == classes);
  CHECK(dataset.class_names.empty());
  CHECK(dataset.sha256() == upright.sha256());

  std::string mapping;
  for (std::int64_t c = 0; c < classes; ++c) {
    mapping += std::to_string(c + first) + " " + std::to_string(35 + c) + "\n";
  }
  write_text(directory.path() / (prefix + "mapping.txt"), mapping);
  dataset = load_dataset(directory.path().string());
  CHECK(dataset.class_names.size() == static_cast<std::size_t>(classes));
  CHECK(dataset.class_names.front() == "#");
}

TEST_CASE("one of several sets in a directory is named in the path", "[dataset]") {
  const TemporaryDirectory directory;
  const std::string path = directory.path().string();
  const Dataset letters = small_dataset(26, 26, 6, 5, 26);
  const Dataset digits = small_dataset(20, 10, 6, 5, 10);
  write_emnist(directory.path(), "emnist-letters-", letters, 1);
  write_emnist(directory.path(), "emnist-digits-", digits, 0);
  CHECK_THROWS_WITH(load_dataset(path),
                    Contains("holds several data sets: emnist-digits, emnist-letters; name "
                             "one of them, such as " +
                             path + "/emnist-digits"));
  CHECK(load_dataset(path + "/emnist-letters").sha256() == letters.sha256());
  CHECK(load_dataset(path + "/digits").sha256() == digits.sha256());
  CHECK_THROWS_WITH(load_dataset(path + "/balanced"), Contains("balanced: is not a directory"));
  std::filesystem::remove(directory.path() / "emnist-digits-test-labels-idx1-ubyte");
  CHECK_THROWS_WITH(load_dataset(path + "/digits"), Contains("no emnist-digits-test-labels-idx1-ubyte"));
  write_dataset(directory.path(), small_dataset(6, 3));
  CHECK(load_dataset(path).classes == 3);
}

TEST_CASE("labels.txt names the classes of IDX files, however many", "[dataset]") {
  const TemporaryDirectory directory;
  const std::string path = directory.path().string();
  write_dataset(directory.path(), small_dataset(24, 12, 6, 5, 12));
  const auto name = [&](int classes) {
    std::string names;
    for (int c = 0; c < classes; ++c) names += "name " + std::to_string(c) + "\n";
    write_text(directory.path() / "labels.txt", names);
  };
  name(12);
  const Dataset dataset = load_dataset(path);
  CHECK(dataset.classes == 12);
  CHECK(dataset.class_names.back() == "name 11");
  CHECK_THROWS_WITH(load_dataset(path, 13),
                    Catch::StartsWith("classes: got 13, but ") && Contains("names 12"));
  name(13);
  CHECK(load_dataset(path).classes == 13);
  name(11);
  CHECK_THROWS_WITH(load_dataset(path), Contains("image 11 of ") && Contains("has the label 11, but ") &&
                                            Contains("labels.txt names 11 classes"));
  DataRequest request;
  request.source = path;
  request.class_names = {"a", "b"};
  name(12);
  CHECK_THROWS_WITH(load_dataset(request), Contains("has the classes name 0, ") && Contains("knows a, b"));
}
