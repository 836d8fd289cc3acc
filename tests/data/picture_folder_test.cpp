// Folders of pictures: their layouts, what is scaled, left out and refused.
#include "handgrad/data/picture_folder.h"

#include <set>

#include "data/small_data.h"
#include "data/small_files.h"
#include "handgrad/base/errors.h"
#include "handgrad/data/scaled_picture.h"
#include "handgrad/files/temporary_directory.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

// A grey picture of 2 rows and 3 columns in any folder.
void write_picture(const fs::path& path, int grey) {
  fs::create_directories(path.parent_path());
  write_text(path, "P5 3 2 255\n" + std::string(6, static_cast<char>(grey)));
}

// Pictures 0.pgm, 1.pgm, …, whose grey tells which they are.
void write_class(const fs::path& folder, int count, int first_grey) {
  for (int i = 0; i < count; ++i) write_picture(folder / (std::to_string(i) + ".pgm"), first_grey + i);
}

DataRequest request_for(const TemporaryDirectory& directory) {
  DataRequest request;
  request.source = directory.path().string();
  request.image_size = ImageShape{2, 3};
  return request;
}

// A request's error.
std::string refusal(const DataRequest& request) {
  try {
    load_dataset(request);
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK(text.find('\n') == std::string::npos);
    return text;
  }
  return "no error";
}

}  // namespace

TEST_CASE("train and test folders give the classes, in the order of their names", "[dataset]") {
  const TemporaryDirectory directory;
  write_class(directory.path() / "train" / "10", 2, 100);
  write_class(directory.path() / "train" / "9", 3, 90);
  write_class(directory.path() / "test" / "10", 1, 200);
  write_text(directory.path() / "train" / "README.md", "about it");
  write_text(directory.path() / "train" / "9" / ".hidden", "no picture");
  const Dataset dataset = load_dataset(request_for(directory));
  CHECK(dataset.class_names == ClassNames{"9", "10"});
  CHECK(dataset.classes == 2);
  CHECK(dataset.of_pictures);
  CHECK(dataset.train_images.shape == std::vector<std::int64_t>{5, 2, 3});
  CHECK(dataset.train_labels.values == Bytes{0, 0, 0, 1, 1});
  CHECK(dataset.test_labels.values == Bytes{1});
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(dataset.train_images.values[6 * i] == (Bytes{90, 91, 92, 100, 101})[i]);
  }
  CHECK(dataset.image_name(3) == "train/10/0.pgm");
  CHECK(dataset.image_name(5) == "test/10/0.pgm");
}

TEST_CASE("of one tree of classes a share is set apart, the same at every reading", "[dataset]") {
  const TemporaryDirectory directory;
  write_class(directory.path() / "cat", 20, 10);
  write_class(directory.path() / "Dog", 10, 100);
  write_class(directory.path() / "eel", 2, 200);
  const Dataset dataset = load_dataset(request_for(directory));
  CHECK(dataset.class_names == ClassNames{"Dog", "cat", "eel"});
  CHECK(dataset.train_count() == 16 + 8 + 1);
  CHECK(dataset.test_count() == 4 + 2 + 1);
  CHECK(std::set<std::string>(dataset.files.begin(), dataset.files.end()).size() == 32);
  CHECK(load_dataset(request_for(directory)).sha256() == dataset.sha256());
  // Which ones: those whose SHA-256 of CLASS/FILE is smallest.
  const std::vector<std::string> of_test(dataset.files.begin() + 25, dataset.files.end());
  CHECK(of_test == std::vector<std::string>{"Dog/0.pgm", "Dog/9.pgm", "cat/12.pgm", "cat/2.pgm", "cat/3.pgm",
                                            "cat/5.pgm", "eel/1.pgm"});
  DataRequest half = request_for(directory);
  half.test_fraction = 0.5;
  CHECK(load_dataset(half).test_count() == 10 + 5 + 1);
  // A picture that is changed or added changes the sum that protects a run.
  write_picture(directory.path() / "cat" / "3.pgm", 99);
  CHECK(load_dataset(request_for(directory)).sha256() != dataset.sha256());
}

TEST_CASE("a model's classes are found by their names", "[dataset]") {
  const TemporaryDirectory directory;
  write_class(directory.path() / "dog", 5, 100);
  write_class(directory.path() / "ant", 5, 10);
  DataRequest request = request_for(directory);
  request.class_names = {"dog", "cat", "ant"};
  request.classes = 3;
  const Dataset dataset = load_dataset(request);
  CHECK(dataset.train_labels.values == Bytes{2, 2, 2, 2, 0, 0, 0, 0});
  CHECK(dataset.classes == 3);
  request.class_names = {"dog", "cat", "fox"};
  CHECK_THAT(refusal(request), Contains("/ant: is the folder of a class that is none of dog, cat, fox"));
}

TEST_CASE("layouts that are neither of the two are refused in one line", "[dataset]") {
  const TemporaryDirectory directory;
  const fs::path root = directory.path();
  DataRequest request = request_for(directory);
  const auto refused = [&](const std::string& part) { CHECK_THAT(refusal(request), Contains(part)); };
  SECTION("nothing at all") {
    refused("holds no data set");
  }
  SECTION("one class") {
    write_class(root / "cat", 3, 0);
    refused("has 1 class; there must be 2 to 256");
  }
  SECTION("one tree") {
    write_class(root / "cat", 3, 0);
    write_class(root / "dog", 3, 0);
    SECTION("an empty folder") {
      fs::create_directories(root / "eel");
      refused("eel: is the folder of a class, but holds no picture");
    }
    SECTION("classes that differ in case alone") {
      write_class(root / "Cat", 3, 0);
      refused("the classes Cat and cat differ in case alone");
    }
    SECTION("a class of one picture") {
      write_class(root / "eel", 1, 0);
      refused("eel: holds 1 picture that can be read; one to train on and one to test with");
    }
    SECTION("a picture beside the classes") {
      write_picture(root / "stray.PNG", 0);
      refused("stray.PNG: lies beside the folders of the classes");
    }
    SECTION("a folder in a class") {
      write_class(root / "cat" / "more", 1, 0);
      refused("more: is a folder in that of a class");
    }
    SECTION("another number of classes") {
      request.classes = 3;
      refused("classes: got 3, but ");
    }
  }
  SECTION("train and test") {
    write_class(root / "train" / "cat", 3, 0);
    write_class(root / "train" / "dog", 3, 0);
    SECTION("without test") {
      refused("train: holds folders of classes, but there is no test/ beside it");
    }
    write_class(root / "test" / "cat", 3, 0);
    write_class(root / "test" / "dog", 3, 0);
    SECTION("a class in the test alone") {
      write_class(root / "test" / "eel", 1, 0);
      refused("test/eel: is the folder of a class that train/ does not have");
    }
    SECTION("another folder beside them") {
      write_class(root / "val" / "cat", 1, 0);
      refused("val: lies beside train/ and test/");
    }
    SECTION("a share for the test") {
      request.test_fraction = 0.1;
      refused("test_fraction: is for folders without train/ and test/");
    }
  }
  SECTION("settings of pictures for IDX files") {
    write_dataset(root, small_dataset(6, 3));
    refused("image_size: is for folders of pictures");
  }
}

TEST_CASE("what cannot be read is named, or left out and counted", "[dataset]") {
  const TemporaryDirectory directory;
  write_class(directory.path() / "cat", 6, 10);
  write_class(directory.path() / "dog", 6, 100);
  DataRequest request = request_for(directory);
  const Dataset whole = load_dataset(request);
  write_text(directory.path() / "dog" / "text.png", "these words are no picture");
  write_text(directory.path() / "cat" / "cut.pgm", "P5 3 2 255\nxx");
  CHECK_THAT(refusal(request), Contains("cut.pgm: the picture cannot be read") &&
                                   Contains("--skip-unreadable goes on without it"));
  request.skip_unreadable = true;
  const Dataset dataset = load_dataset(request);
  CHECK(dataset.skipped.size() == 2);
  CHECK_THAT(dataset.skipped[1], Contains("text.png: is neither a picture"));
  CHECK(dataset.sha256() == whole.sha256());  // as if the two were not there
  for (int i = 0; i < 6; ++i) write_text(directory.path() / "cat" / (std::to_string(i) + ".pgm"), "no");
  CHECK_THAT(refusal(request), Contains("cat: holds 0 pictures that can be read"));
}

TEST_CASE("folders of any bytes have names that can be printed", "[dataset]") {
  const TemporaryDirectory directory;
  write_class(directory.path() / "a\xff", 2, 0);
  write_class(directory.path() / "b\x1b\n", 2, 0);
  CHECK(load_dataset(request_for(directory)).class_names == ClassNames{"a\\xff", "b\\x1b\\x0a"});
}

TEST_CASE("a picture is scaled as torchvision and Pillow scale it", "[dataset]") {
  IdxArray picture{{1, 4, 6}, {}};
  for (int i = 0; i < 24; ++i) picture.values.push_back(static_cast<std::uint8_t>(i * 37 % 256));
  CHECK(scaled_picture(picture, {4, 6}).values == picture.values);
  // Image.frombytes("L", (6, 4), bytes(i * 37 % 256 for i in range(24))).resize((3, 2), Image.BILINEAR)
  const Bytes small = {80, 73, 135, 168, 84, 81};
  const Bytes large = {
      0,  29,  61,  93,  124, 156, 185, 155, 44, 37,  69,  100, 132, 161, 205, 134, 56, 42,
      73, 105, 134, 178, 207, 123, 53,  46,  78, 107, 154, 183, 215, 119, 22,  54,  83};  // .resize((7, 5), Image.BILINEAR)
  const auto near = [](const Bytes& one, const Bytes& other) {
    REQUIRE(one.size() == other.size());
    for (std::size_t i = 0; i < one.size(); ++i) CHECK(std::abs(int{one[i]} - int{other[i]}) <= 1);
  };
  near(scaled_picture(picture, {2, 3}).values, small);
  near(scaled_picture(picture, {5, 7}).values, large);
}
