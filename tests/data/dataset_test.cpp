// Data sets: file names, labels, splits, tensors.
#include "handgrad/data/dataset.h"

#include <cstdlib>
#include <set>

#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "handgrad/files/temporary_directory.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;
using Catch::StartsWith;

namespace {

std::set<std::int64_t> as_set(const std::vector<std::int64_t>& values) {
  return {values.begin(), values.end()};
}

SplitOptions split_options(SplitOptions::Kind kind, double fraction, std::uint64_t seed = 1) {
  return {kind, fraction, seed};
}

}  // namespace

TEST_CASE("the splits have the described sizes, are disjoint and cover everything", "[dataset]") {
  const auto kind = GENERATE(SplitOptions::Kind::official, SplitOptions::Kind::pooled);
  const SplitIndices indices = split_indices(60000, 10000, split_options(kind, 0.2));
  const bool pooled = kind == SplitOptions::Kind::pooled;
  CHECK(indices.train.size() == (pooled ? 44800 : 48000));
  CHECK(indices.validation.size() == (pooled ? 11200 : 12000));
  CHECK(indices.test.size() == (pooled ? 14000 : 10000));
  std::set<std::int64_t> all = as_set(indices.train);
  for (const auto* part : {&indices.validation, &indices.test}) all.insert(part->begin(), part->end());
  CHECK(all.size() == 70000);
  CHECK(*all.begin() == 0);
  CHECK(*all.rbegin() == 69999);
  if (!pooled) CHECK(indices.test.front() == 60000);
}

TEST_CASE("a split is a function of its seed", "[dataset]") {
  const auto of_seed = [](std::uint64_t seed) {
    return split_indices(100, 20, split_options(SplitOptions::Kind::official, 0.2, seed)).train;
  };
  CHECK(of_seed(1) == of_seed(1));
  CHECK(as_set(of_seed(1)) != as_set(of_seed(2)));
}

TEST_CASE("without validation all images are trained on", "[dataset]") {
  const SplitIndices indices = split_indices(10, 4, split_options(SplitOptions::Kind::official, 0));
  CHECK(indices.train.size() == 10);
  CHECK(indices.validation.empty());
}

TEST_CASE("splits that leave a set empty are refused", "[dataset]") {
  CHECK_THROWS_WITH(split_indices(2, 1, split_options(SplitOptions::Kind::official, 0.9)),
                    Contains("none of 2"));
  CHECK_THROWS_WITH(split_indices(4, 1, split_options(SplitOptions::Kind::official, 0.1)),
                    Contains("less than one image"));
}

TEST_CASE("ten images are a data set", "[dataset]") {
  const TemporaryDirectory directory;
  write_dataset(directory.path(), small_dataset(10, 5));
  const Dataset dataset = load_dataset(directory.path().string());
  CHECK(dataset.classes == 3);
  const Splits splits = split(dataset, {}, at::kFloat);
  CHECK(splits.train.count() == 8);
  CHECK(splits.validation.count() == 2);
  CHECK(splits.test.count() == 5);
}

TEST_CASE("a split picks its images, and labels are one-hot", "[dataset]") {
  const Dataset dataset = small_dataset(9, 3);
  const SplitOptions options = split_options(SplitOptions::Kind::official, 0.4, 7);
  const Splits splits = split(dataset, options, at::kDouble);
  const SplitIndices indices = split_indices(9, 3, options);
  for (std::size_t i = 0; i < indices.train.size(); ++i) {
    const auto image = static_cast<std::size_t>(indices.train[i]);
    for (std::size_t p = 0; p < 30; ++p) {
      CHECK(splits.train.pixels[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(p)].item<int>() ==
            dataset.train_images.values[image * 30 + p]);
    }
    const Tensor row = splits.train.targets[static_cast<std::int64_t>(i)];
    CHECK(row.sum().item<double>() == 1);
    CHECK(row.argmax().item<std::int64_t>() == dataset.train_labels.values[image]);
  }
}

TEST_CASE("files with a dot in their names are found too", "[dataset]") {
  const TemporaryDirectory directory;
  const Dataset dataset = small_dataset(6, 3);
  write_dataset(directory.path(), dataset);
  for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                           "t10k-labels-idx1-ubyte"}) {
    std::string dotted = name;
    dotted[dotted.find("-idx")] = '.';
    std::filesystem::rename(directory.path() / name, directory.path() / dotted);
  }
  CHECK(load_dataset(directory.path().string()).sha256() == dataset.sha256());
}

TEST_CASE("data sets that do not fit together are refused", "[dataset]") {
  const TemporaryDirectory directory;
  Dataset dataset = small_dataset(6, 3);
  const auto message_of = [&] {
    write_dataset(directory.path(), dataset);
    try {
      load_dataset(directory.path().string());
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  SECTION("counts") {
    dataset.train_labels.values.pop_back();
    dataset.train_labels.shape[0] = 5;
    CHECK_THAT(message_of(), Contains("holds 6 images") && Contains("holds 5 labels"));
  }
  SECTION("a label outside the classes") {
    dataset.test_labels.values[1] = 10;
    CHECK_THAT(message_of(), StartsWith("classes: image 1 of ") &&
                                 Contains("t10k-labels-idx1-ubyte has the label 10") && Contains("give 11"));
  }
  SECTION("image sizes") {
    dataset.test_images.shape = {3, 5, 6};
    CHECK_THAT(message_of(), Contains("6 × 5") && Contains("5 × 6"));
  }
  SECTION("labels in place of images") {
    dataset.train_images = dataset.train_labels;
    CHECK_THAT(message_of(), Contains("images have 3"));
  }
  SECTION("a missing file") {
    write_dataset(directory.path(), dataset);
    std::filesystem::remove(directory.path() / "t10k-images-idx3-ubyte");
    CHECK_THROWS_WITH(load_dataset(directory.path().string()),
                      Contains("t10k-images") && Contains("fetch_data"));
  }
  SECTION("no directory") {
    CHECK_THROWS_WITH(load_dataset("/nowhere/at/all"), Contains("is not a directory"));
  }
}

TEST_CASE("more classes than ten must be asked for", "[dataset]") {
  const TemporaryDirectory directory;
  write_dataset(directory.path(), small_dataset(24, 12, 6, 5, 12));
  CHECK_THROWS_AS(load_dataset(directory.path().string()), DataError);
  CHECK_THROWS_WITH(load_dataset(directory.path().string(), 11),
                    StartsWith("classes: got 11, but image 11 of ") && Contains("must be at least 12"));
  CHECK(load_dataset(directory.path().string(), 12).classes == 12);
}

TEST_CASE("MNIST itself has the published checksum", "[dataset]") {
  const char* directory = std::getenv("MNIST_DIR");
  if (directory == nullptr || *directory == '\0') {
    WARN("MNIST_DIR is not set: skipped");
    return;
  }
  const Dataset dataset = load_dataset(directory);
  CHECK(dataset.train_count() == 60000);
  CHECK(dataset.test_count() == 10000);
  CHECK(dataset.rows() == 28);
  CHECK(dataset.columns() == 28);
  CHECK(dataset.classes == 10);
  // zcat train-images… train-labels… t10k-images… t10k-labels… | sha256sum
  CHECK(dataset.sha256() == "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a");
}

TEST_CASE("a validation fraction that is none is refused, a NaN too", "[dataset]") {
  for (const double fraction : {-0.1, 1.0, 5000.0, std::nan("")}) {
    CHECK_THROWS_AS(split_indices(10, 4, split_options(SplitOptions::Kind::official, fraction)),
                    ArgumentError);
  }
  CHECK_THROWS_WITH(split_indices(1, 1, split_options(SplitOptions::Kind::pooled, 0)), Contains("too few"));
}
