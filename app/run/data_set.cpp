// The data set that a command reads.
#include "run/data_set.h"

#include <fmt/format.h>

#include <algorithm>

#include "handgrad/base/counted.h"
#include "run/resumption.h"

namespace handgrad::app {

Dataset open_dataset(const DataRequest& request) {
  Dataset dataset = load_dataset(request);
  const std::string skipped = skipped_text(dataset.skipped, "picture");
  if (!skipped.empty()) warn(skipped);
  return dataset;
}

ModelInfo model_info(const Dataset& dataset, bool deskew) {
  ModelInfo info;
  info.shape = {dataset.rows(), dataset.columns()};
  info.deskew = deskew;
  info.class_names = dataset.class_names;
  info.of_pictures = dataset.of_pictures;
  return info;
}

std::string skipped_text(const std::vector<std::string>& skipped, const std::string& noun) {
  constexpr std::size_t most_named = 3;
  if (skipped.empty()) return "";
  std::string text = fmt::format("{} could not be read and {} left out", counted(skipped.size(), noun),
                                 skipped.size() == 1 ? "is" : "are");
  for (std::size_t i = 0; i < std::min(skipped.size(), most_named); ++i) {
    text += (i == 0 ? ": " : "; ") + skipped[i];
  }
  if (skipped.size() > most_named) text += fmt::format("; and {} more", skipped.size() - most_named);
  return text;
}

}  // namespace handgrad::app
