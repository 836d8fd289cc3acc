// What augmentation makes of images, to look at.
#include "handgrad/data/augmented_picture.h"

#include <algorithm>
#include <map>
#include <vector>

namespace handgrad {

namespace {

constexpr std::size_t most_rows = 10;
constexpr std::int64_t copies = 10;  // of each image
constexpr std::int64_t margin = 2;   // pixels between the images
constexpr std::uint8_t ground = 96;  // of these: to be told from ink and paper

// The first image of each class that there is.
std::vector<std::int64_t> first_of_classes(const Tensor& targets) {
  const Tensor labels = targets.argmax(1).to(at::kCPU);
  const auto label = labels.accessor<std::int64_t, 1>();
  std::map<std::int64_t, std::int64_t> first;
  for (std::int64_t i = 0; i < labels.size(0); ++i) first.emplace(label[i], i);
  std::vector<std::int64_t> chosen;
  for (const auto& [of_class, image] : first) {
    if (chosen.size() < most_rows) chosen.push_back(image);
  }
  return chosen;
}

void paste(IdxArray& picture, const Tensor& image, std::int64_t row, std::int64_t column, ImageShape shape) {
  const Tensor bytes = image.mul(255).round().to(at::kByte).contiguous();
  const auto* pixels = bytes.data_ptr<std::uint8_t>();
  const std::int64_t top = margin + row * (shape.rows + margin);
  const std::int64_t left = margin + column * (shape.columns + margin);
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    std::copy_n(pixels + r * shape.columns, shape.columns,
                picture.values.begin() + (top + r) * picture.shape[2] + left);
  }
}

}  // namespace

IdxArray augmented_picture(const Examples& images, const AugmentOptions& options, std::uint64_t data_seed) {
  const ImageShape shape = images.shape;
  const Tensor chosen = at::tensor(first_of_classes(images.targets), at::kLong);
  const Tensor pixels = images.pixels.index_select(0, chosen.to(images.pixels.device())).to(at::kCPU);
  const std::int64_t rows = pixels.size(0);
  IdxArray picture{
      {1, margin + rows * (shape.rows + margin), margin + (1 + copies) * (shape.columns + margin)}, {}};
  picture.values.assign(static_cast<std::size_t>(picture.shape[1] * picture.shape[2]), ground);
  const Augmenter augmenter(shape);
  Tensor changed = at::empty(pixels.sizes(), at::kFloat);
  for (std::int64_t column = 0; column <= copies; ++column) {
    const AugmentOptions of_column = column == 0 ? AugmentOptions() : options;
    augmenter.augment(changed, pixels, at::arange(rows), {of_column, {data_seed}, column, 0});
    for (std::int64_t row = 0; row < rows; ++row) paste(picture, changed[row], row, column, shape);
  }
  return picture;
}

}  // namespace handgrad
