// Checks the picture of augmentation cell by cell.
#include "handgrad/data/augmented_picture.h"

#include "data/small_data.h"
#include "test.h"

using namespace handgrad;

namespace {

constexpr ImageShape shape{6, 5};
constexpr std::int64_t margin = 2;

AugmentOptions medium() {
  AugmentChoice choice;
  choice.preset = AugmentChoice::Preset::medium;
  return choice.options();
}

// The images of labels 0, 1, 2, 0, …; from the second on they begin with 1, 2, 0.
Examples patterns(std::int64_t classes, std::int64_t from) {
  const Dataset dataset = small_dataset(30, 1, shape.rows, shape.columns, classes);
  const Examples all{as_tensor(dataset.train_images).flatten(1).clone(),
                     one_hot(dataset.train_labels, classes, at::kFloat),
                     {},
                     shape};
  return all.part(from, all.count() - from);
}

Tensor cell(const Tensor& picture, std::int64_t row, std::int64_t column) {
  return picture.narrow(0, margin + row * (shape.rows + margin), shape.rows)
      .narrow(1, margin + column * (shape.columns + margin), shape.columns);
}

}  // namespace

TEST_CASE("the picture of augmentation has the first image of each class, and ten copies beside it") {
  const Examples images = patterns(3, 1);
  const IdxArray array = augmented_picture(images, medium(), 7);
  CHECK(array.shape == std::vector<std::int64_t>{1, 26, 79});
  const Tensor picture = as_tensor(array)[0];
  const Tensor originals = images.pixels.index_select(0, at::tensor({2, 0, 1}, at::kLong));
  Tensor changed = at::empty(originals.sizes(), at::kFloat);
  std::int64_t pixels_of_images = 0;
  for (std::int64_t column = 0; column <= 10; ++column) {
    const AugmentOptions options = column == 0 ? AugmentOptions() : medium();
    Augmenter(shape).augment(changed, originals, at::arange(3), {options, {7}, column, 0});
    for (std::int64_t row = 0; row < 3; ++row) {
      CAPTURE(row, column);
      const Tensor original = originals[row].view({shape.rows, shape.columns});
      const Tensor expected = changed[row].mul(255).round().to(at::kByte).view_as(original);
      CHECK(at::equal(cell(picture, row, column), expected));
      CHECK(at::equal(cell(picture, row, column), original) == (column == 0));
      pixels_of_images += original.numel();
    }
  }
  const std::int64_t ground = (picture == 96).sum().item<std::int64_t>();
  CHECK(ground >= picture.numel() - pixels_of_images);
}

TEST_CASE("the picture of augmentation depends on the data seed, but for the images themselves") {
  const Examples images = patterns(3, 0);
  const IdxArray first = augmented_picture(images, medium(), 1);
  const IdxArray other = augmented_picture(images, medium(), 2);
  CHECK(augmented_picture(images, medium(), 1).values == first.values);
  for (std::int64_t column = 0; column <= 10; ++column) {
    CAPTURE(column);
    CHECK(at::equal(cell(as_tensor(first)[0], 0, column), cell(as_tensor(other)[0], 0, column)) ==
          (column == 0));
  }
}

TEST_CASE("the picture of augmentation has at most ten rows") {
  CHECK(augmented_picture(patterns(12, 0), medium(), 1).shape[1] == 2 + 10 * (shape.rows + margin));
}
