// Data sets of picture files in a folder for each class.
#include "handgrad/data/picture_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/picture.h"
#include "handgrad/data/scaled_picture.h"
#include "handgrad/files/file.h"
#include "handgrad/files/sha256.h"

namespace handgrad {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_pixels_in_all = std::uint64_t{1} << 32;

struct Listing {
  std::vector<std::string> folders, files;  // names, in order
};

// Without hidden entries, and what file managers leave behind.
Listing list(const fs::path& directory) {
  Listing listing;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
      const std::string name = entry.path().filename().string();
      if (name.front() == '.' || name == "Thumbs.db" || name == "desktop.ini") continue;
      (entry.is_directory() ? listing.folders : listing.files).push_back(name);
    }
  } catch (const fs::filesystem_error& error) {
    throw FileError(fmt::format("{}: cannot be read: {}; mend its permissions, or move it away",
                                printable(directory.string()), error.code().message()));
  }
  std::sort(listing.folders.begin(), listing.folders.end(), is_before);
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

bool has(const std::vector<std::string>& names, const char* name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_named_as_picture(const std::string& file) {
  static const std::array<std::string_view, 10> endings = {".png", ".jpg", ".jpeg", ".tif", ".tiff",
                                                           ".bmp", ".pnm", ".pgm",  ".ppm", ".webp"};
  std::string ending = fs::path(file).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

[[noreturn]] void refuse(const fs::path& place, const std::string& fault) {
  throw DataError(fmt::format("{}: {}", printable(place.string()), fault));
}

// The pictures of a class: paths behind the source.
struct ClassFolder {
  std::string name;
  std::vector<std::string> files;
};

void require_no_pictures(const fs::path& place, const Listing& listing) {
  const auto picture = std::find_if(listing.files.begin(), listing.files.end(), is_named_as_picture);
  if (picture == listing.files.end()) return;
  refuse(place / *picture,
         "lies beside the folders of the classes, so that it has no class; put it into one of them");
}

// The classes of a folder. `place`: behind the source; "" for the source itself.
std::vector<ClassFolder> class_folders(const fs::path& source, const fs::path& place) {
  const Listing listing = list(source / place);
  require_no_pictures(source / place, listing);
  std::vector<ClassFolder> classes;
  ClassNames names;
  for (const std::string& folder : listing.folders) {
    const Listing inside = list(source / place / folder);
    if (!inside.folders.empty()) {
      refuse(source / place / folder / inside.folders.front(),
             "is a folder in that of a class; pictures lie in DIR/CLASS, or in DIR/train/CLASS and "
             "DIR/test/CLASS");
    }
    if (inside.files.empty()) {
      refuse(source / place / folder,
             "is the folder of a class, but holds no picture; fill it, or remove it");
    }
    names.push_back(visible(folder));
    classes.push_back({names.back(), {}});
    for (const std::string& file : inside.files) {
      classes.back().files.push_back((place / folder / file).string());
    }
  }
  if (classes.empty()) {
    refuse(source / place,
           "holds no data set: neither the files of one, such as train-images-idx3-ubyte, nor a folder of "
           "pictures for each class; put one there, or fetch MNIST with scripts/fetch_data.sh");
  }
  require_distinct(names, (source / place).string(), LetterCase::is_ignored);
  return classes;
}

// The training and the test pictures, class by class. Of one tree all are the former, and a share is set apart.
struct Layout {
  std::vector<ClassFolder> train, test;
  std::optional<double> test_fraction;
};

Layout layout_of(const DataRequest& request) {
  const fs::path source(request.source);
  const Listing top = list(source);
  const bool train = has(top.folders, "train") && !list(source / "train").folders.empty();
  const bool test = has(top.folders, "test") && !list(source / "test").folders.empty();
  if (!train && !test) {
    return {class_folders(source, ""), {}, request.test_fraction.value_or(default_test_fraction)};
  }
  if (!train || !test) {
    refuse(source / (train ? "train" : "test"),
           fmt::format("holds folders of classes, but there is no {} beside it; add it, or name this folder "
                       "itself to have a test set set apart",
                       train ? "test/" : "train/"));
  }
  require_no_pictures(source, top);
  for (const std::string& folder : top.folders) {
    if (folder == "train" || folder == "test") continue;
    refuse(
        source / folder,
        "lies beside train/ and test/, so that it belongs to neither; move it away (images to validate on are "
        "split off those in train/)");
  }
  if (request.test_fraction) {
    throw DataError("test_fraction", fmt::format("is for folders without train/ and test/, but {} has them; "
                                                 "leave it out",
                                                 printable(request.source)));
  }
  return {class_folders(source, "train"), class_folders(source, "test"), std::nullopt};
}

// What the labels count: the expected names, else the names of the training folders.
ClassNames names_of(const Layout& layout, const DataRequest& request) {
  ClassNames names = request.class_names;
  if (names.empty()) {
    for (const ClassFolder& folder : layout.train) names.push_back(folder.name);
    require_class_count(names.size(), request.source);
  }
  const auto known = [&](const ClassFolder& folder) {
    return std::find(names.begin(), names.end(), folder.name) != names.end();
  };
  for (const auto* part : {&layout.train, &layout.test}) {
    const auto stranger = std::find_if_not(part->begin(), part->end(), known);
    if (stranger == part->end()) continue;
    const fs::path folder = (fs::path(request.source) / stranger->files.front()).parent_path();
    refuse(folder, request.class_names.empty()
                       ? "is the folder of a class that train/ does not have; add it there, or move it away"
                       : fmt::format("is the folder of a class that is none of {}; move it away",
                                     list_of(request.class_names)));
  }
  const auto count = static_cast<std::int64_t>(names.size());
  if (request.classes > 0 && request.classes != count) {
    throw DataError("classes", fmt::format("got {}, but {} has {} classes, by its folders; leave it out",
                                           request.classes, printable(request.source), count));
  }
  return names;
}

// Images, their labels and files: of the training, or of the test.
struct Part {
  IdxArray images, labels;
  std::vector<std::string> files;

  explicit Part(ImageShape size) : images{{0, size.rows, size.columns}, {}}, labels{{0}, {}} {}

  void add(const std::string& file, std::uint8_t label, const Bytes& pixels) {
    images.values.insert(images.values.end(), pixels.begin(), pixels.end());
    labels.values.push_back(label);
    files.push_back(file);
    ++images.shape[0];
    ++labels.shape[0];
  }
};

// A picture that was read, and what decides whether it is set apart.
struct Sample {
  std::string file, rank;
  Bytes pixels;
};

// The largest rank of those that are set apart, which have the least.
std::string last_rank_apart(const std::vector<Sample>& samples, double fraction) {
  const auto count = static_cast<std::int64_t>(samples.size());
  const std::int64_t apart =
      std::clamp<std::int64_t>(std::llround(fraction * static_cast<double>(count)), 1, count - 1);
  std::vector<std::string> ranks;
  for (const Sample& sample : samples) ranks.push_back(sample.rank);
  std::sort(ranks.begin(), ranks.end());
  return ranks[static_cast<std::size_t>(apart - 1)];
}

class PictureReader {
 public:
  PictureReader(const DataRequest& request, const ClassNames& names)
      : request_(request),
        names_(names),
        size_(request.image_size.value_or(default_image_size)),
        train_(size_),
        test_(size_) {}

  void read(const Layout& layout) {
    for (const ClassFolder& folder : layout.train) {
      const std::vector<Sample> samples = read(folder);
      const std::size_t needed = layout.test_fraction ? 2 : 1;
      if (samples.size() < needed) {
        refuse((fs::path(request_.source) / folder.files.front()).parent_path(),
               fmt::format("holds {} that can be read; {}", counted(samples.size(), "picture"),
                           needed == 1 ? "fill it, or remove it"
                                       : "one to train on and one to test with are needed"));
      }
      const std::string last = layout.test_fraction ? last_rank_apart(samples, *layout.test_fraction) : "";
      for (const Sample& sample : samples) {
        (sample.rank <= last ? test_ : train_).add(sample.file, label_of(folder), sample.pixels);
      }
    }
    for (const ClassFolder& folder : layout.test) {
      for (const Sample& sample : read(folder)) test_.add(sample.file, label_of(folder), sample.pixels);
    }
    if (test_.files.empty()) refuse(request_.source, "has no picture in test/ that can be read; mend them");
  }

  void move_to(Dataset& dataset) {
    dataset.train_images = std::move(train_.images);
    dataset.train_labels = std::move(train_.labels);
    dataset.test_images = std::move(test_.images);
    dataset.test_labels = std::move(test_.labels);
    dataset.files = std::move(train_.files);
    dataset.files.insert(dataset.files.end(), test_.files.begin(), test_.files.end());
    dataset.skipped = std::move(skipped_);
  }

 private:
  std::uint8_t label_of(const ClassFolder& folder) const {
    return static_cast<std::uint8_t>(std::find(names_.begin(), names_.end(), folder.name) - names_.begin());
  }

  std::vector<Sample> read(const ClassFolder& folder) {
    std::vector<Sample> samples;
    for (const std::string& file : folder.files) {
      const std::string path = (fs::path(request_.source) / file).string();
      try {
        Bytes pixels = scaled_picture(parse_picture(read_file(path), path), size_).values;
        samples.push_back({file, Sha256().update(file).hex(), std::move(pixels)});
      } catch (const Error& error) {
        if (!request_.skip_unreadable) {
          throw DataError(fmt::format("{}; --skip-unreadable goes on without it", error.what()));
        }
        skipped_.emplace_back(error.what());
        continue;
      }
      pixels_ += samples.back().pixels.size();
      if (pixels_ <= most_pixels_in_all) continue;
      throw DataError("image_size", fmt::format("all pictures of {} together would have more than {} pixels; "
                                                "choose a smaller one",
                                                printable(request_.source), most_pixels_in_all));
    }
    return samples;
  }

  const DataRequest& request_;
  const ClassNames& names_;
  ImageShape size_;
  std::uint64_t pixels_ = 0;
  Part train_, test_;
  std::vector<std::string> skipped_;
};

}  // namespace

Dataset read_picture_folder(const DataRequest& request) {
  const Layout layout = layout_of(request);
  Dataset dataset;
  dataset.name = request.source;
  dataset.of_pictures = true;
  dataset.class_names = names_of(layout, request);
  dataset.classes = static_cast<std::int64_t>(dataset.class_names.size());
  PictureReader reader(request, dataset.class_names);
  reader.read(layout);
  reader.move_to(dataset);
  return dataset;
}

}  // namespace handgrad
