// Checks that augmented images are the changes that were asked for, and a function of their place alone.
#include "handgrad/data/augment.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <memory>

#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "handgrad/data/batches.h"
#include "handgrad/data/pixels.h"
#include "handgrad/data/synthetic.h"
#include "handgrad/platform/threads.h"
#include "test.h"

using namespace handgrad;

namespace {

constexpr ImageShape digit_shape{28, 28};

AugmentOptions preset(AugmentChoice::Preset name) {
  AugmentChoice choice;
  choice.preset = name;
  return choice.options();
}

AugmentOptions strong_preset() {
  return preset(AugmentChoice::Preset::strong);
}

// [N, 784], bytes.
Tensor digits(std::int64_t count) {
  const LabelledImages synthetic = synthetic_digits(count, 3);
  return as_tensor(synthetic.images).flatten(1).clone();
}

// All images, each once.
Tensor augmented(const Tensor& pixels, ImageShape shape, const AugmentOptions& options,
                 at::ScalarType type = at::kFloat, std::int64_t epoch = 0) {
  Tensor images = at::empty(pixels.sizes(), type);
  Augmenter(shape).augment(images, pixels, at::arange(pixels.size(0)), {options, {1}, epoch, 0});
  return images;
}

// Every image of the first epochs, as training gets them.
Tensor all_of(const Examples& examples, std::int64_t replicas, std::int64_t batch_size,
              const std::vector<std::uint64_t>& data_seeds, bool prefetch, std::int64_t epochs = 3,
              const AugmentStrength& strength = {}) {
  Batches batches(examples, replicas, batch_size, data_seeds, true, prefetch, strong_preset(), strength);
  std::vector<Tensor> images;
  for (std::int64_t step = 0; step < epochs * batches.per_epoch(); ++step) {
    images.push_back(batches.at(step).images.clone());
  }
  return at::cat(images);
}

double deviation_of(const Tensor& values) {
  return values.to(at::kDouble).std(false).item<double>();
}

}  // namespace

TEST_CASE("without a bound above 0 an augmented image is the image itself", "[augment]") {
  const ImageShape shape =
      GENERATE(ImageShape{28, 28}, ImageShape{6, 5}, ImageShape{1, 40}, ImageShape{3, 70});
  const at::ScalarType type = GENERATE(at::kFloat, at::kDouble);
  CAPTURE(shape.rows, shape.columns);
  const Tensor pixels = at::randint(256, {40, shape.rows * shape.columns}, at::kByte);
  Tensor expected = at::empty(pixels.sizes(), type);
  scale_pixels(expected, pixels);
  CHECK(at::equal(augmented(pixels, shape, {}, type), expected));
  CHECK_FALSE(at::equal(augmented(pixels, shape, {0, 0, 0, 0.5, 0}, type), expected));
}

TEST_CASE("a known affine map moves known pixels to where they belong", "[augment]") {
  const ImageShape shape{5, 7};
  const auto source = [&](const AffineMap& a, double column, double row) {
    return std::pair(a.xx * column + a.xy * row + a.x0, a.yx * column + a.yy * row + a.y0);
  };
  const auto is = [](std::pair<double, double> place, double column, double row) {
    return std::abs(place.first - column) < 1e-5 && std::abs(place.second - row) < 1e-5;
  };
  // Counter-clockwise: what is above the centre (3, 2) comes from its right.
  CHECK(is(source(inverse_affine(shape, 90, 0, 0, 0, 0, 0), 3, 1), 4, 2));
  CHECK(is(source(inverse_affine(shape, 90, 0, 0, 0, 0, 0), 4, 2), 3, 3));
  CHECK(is(source(inverse_affine(shape, 90, 0, 0, 0, 0, 0), 3, 2), 3, 2));
  CHECK(is(source(inverse_affine(shape, 180, 0, 0, 0, 0, 0), 0, 0), 6, 4));
  // Twice as wide, three times as high.
  CHECK(is(source(inverse_affine(shape, 0, std::log(2.0), std::log(3.0), 0, 0, 0), 5, 5), 4, 3));
  // The row below the centre goes right by half a column.
  CHECK(is(source(inverse_affine(shape, 0, 0, 0, 0.5, 0, 0), 3.5, 3), 3, 3));
  CHECK(is(source(inverse_affine(shape, 0, 0, 0, 0, 1, 2), 4, 3), 3, 1));
  // First scaled, then sheared, turned and shifted: (5, 2) → (7, 2) → the same → (3, −2) → (4, −2).
  CHECK(is(source(inverse_affine(shape, 90, std::log(2.0), 0, 0.5, 1, 0), 4, -2), 5, 2));
  // (4, 3) is (1, 1) from the centre → (2.5, 1) → (1, −2.5) → (5, −0.5) on the image.
  CHECK(is(source(inverse_affine(shape, 90, std::log(2.0), 0, 0.5, 1, 0), 5, -0.5), 4, 3));
}

TEST_CASE("interpolation is bilinear, and all outside of an image is 0", "[augment]") {
  // A single white pixel in the middle of 5 × 5, shifted by a fraction each way: its four parts sum to it.
  Tensor pixels = at::zeros({200, 25}, at::kByte);
  pixels.select(1, 12).fill_(255);
  const Tensor images = augmented(pixels, {5, 5}, {0, 0, 0, 1, 0}, at::kDouble);
  CHECK(at::allclose(images.sum(1), at::ones({200}, at::kDouble), 0, 1e-5));
  const Tensor grid = images.view({200, 5, 5});
  const Tensor position = at::arange(5, at::kDouble) - 2;
  const Tensor x = (grid.sum(1) * position).sum(1);
  const Tensor y = (grid.sum(2) * position).sum(1);
  CHECK(at::max(x).item<double>() <= 1.00001);
  CHECK(at::max(x).item<double>() > 0.9);
  CHECK(at::min(x).item<double>() < -0.9);
  // Uniform along each axis, and independent.
  CHECK(deviation_of(x) == Approx(1 / std::sqrt(3.0)).epsilon(0.1));
  CHECK(deviation_of(y) == Approx(1 / std::sqrt(3.0)).epsilon(0.1));
  CHECK(std::abs((x * y).mean().item<double>()) < 0.1);
  CHECK(at::allclose(at::outer(grid[0].sum(1), grid[0].sum(0)), grid[0], 0, 1e-5));
  // White up to the edge fades to 0 over one pixel and stays 0.
  const Tensor white = at::full({100, 36}, 255, at::kByte);
  const Tensor shifted = augmented(white, {6, 6}, {0, 0, 0, 5, 0});
  CHECK(at::min(shifted).item<double>() == 0);
  CHECK(at::max(shifted).item<double>() == Approx(1));
}

TEST_CASE("numbers are drawn uniformly from within their bounds", "[augment]") {
  // A ramp along an axis shows where its middle pixel comes from; two pixels, the slope.
  const std::int64_t count = 4000;
  const ImageShape shape{21, 21};
  const Tensor ramp = (at::arange(21) * 10).to(at::kByte);
  const Tensor along_x = ramp.expand({21, 21}).reshape({1, 441}).expand({count, 441}).contiguous();
  const Tensor along_y =
      ramp.view({21, 1}).expand({21, 21}).reshape({1, 441}).expand({count, 441}).contiguous();
  struct Seen {
    Tensor x, y;  // [count, 21, 21], in pixels
  };
  const auto see = [&](const AugmentOptions& options) {
    const auto pixels_of = [&](const Tensor& pixels) {
      return augmented(pixels, shape, options, at::kDouble).mul_(25.5).view({count, 21, 21});
    };
    return Seen{pixels_of(along_x), pixels_of(along_y)};
  };
  const auto slope = [](const Tensor& of, bool down) {
    const Tensor ahead = down ? of.select(1, 11).select(1, 10) : of.select(1, 10).select(1, 11);
    return ahead - of.select(1, 10).select(1, 10);
  };
  const auto check_uniform = [](const Tensor& values, double bound) {
    CHECK(at::max(values).item<double>() <= bound * 1.001);
    CHECK(at::max(values).item<double>() >= bound * 0.99);
    CHECK(at::min(values).item<double>() >= -bound * 1.001);
    CHECK(at::min(values).item<double>() <= -bound * 0.99);
    CHECK(deviation_of(values) == Approx(bound / std::sqrt(3.0)).epsilon(0.05));
  };
  const Seen turned = see({30, 0, 0, 0, 0});
  check_uniform(at::atan2(slope(turned.y, false), slope(turned.y, true)) * (180 / 3.141592653589793), 30);
  const Seen scaled = see({0, 0.2, 0, 0, 0});
  check_uniform(slope(scaled.x, false).log(), 0.2);
  check_uniform(slope(scaled.y, true).log(), 0.2);
  CHECK(std::abs((slope(scaled.x, false).log() * slope(scaled.y, true).log()).mean().item<double>()) < 0.002);
  check_uniform(slope(see({0, 0, 0.3, 0, 0}).x, true), 0.3);
  const Seen shifted = see({0, 0, 0, 2.5, 0});
  check_uniform(shifted.x.select(1, 10).select(1, 10) - 10, 2.5);
  check_uniform(shifted.y.select(1, 10).select(1, 10) - 10, 2.5);
}

TEST_CASE("displacements have the length that was asked for, and are smooth", "[augment]") {
  const std::int64_t count = 4000;
  const double elastic = GENERATE(0.5, 1.2);
  const Tensor ramp = at::arange(28) * 9;
  const Tensor along_x =
      ramp.expand({28, 28}).reshape({1, 784}).expand({count, 784}).to(at::kByte).contiguous();
  const Tensor along_y =
      ramp.view({28, 1}).expand({28, 28}).reshape({1, 784}).expand({count, 784}).to(at::kByte).contiguous();
  const auto inner = [&](const Tensor& pixels, std::int64_t row_offset) {
    const Tensor places = augmented(pixels, digit_shape, {0, 0, 0, 0, elastic}, at::kDouble).mul_(255.0 / 9);
    return places.view({count, 28, 28}).slice(1, 7 + row_offset, 21 + row_offset).slice(2, 7, 21);
  };
  const Tensor x = inner(along_x, 0) - at::arange(7, 21, at::kDouble);
  const Tensor y = inner(along_y, 0) - at::arange(7, 21, at::kDouble).view({14, 1});
  CHECK((x * x + y * y).mean().sqrt().item<double>() == Approx(elastic).epsilon(0.03));
  // At every pixel alike, independent along the axes, on average none.
  const Tensor at_each = (x * x + y * y).mean(0).sqrt();
  CHECK(at::min(at_each).item<double>() > 0.95 * elastic);
  CHECK(at::max(at_each).item<double>() < 1.05 * elastic);
  CHECK(std::abs((x * y).mean().item<double>()) < 0.02 * elastic * elastic);
  CHECK(std::abs(x.mean().item<double>()) < 0.02 * elastic);
  // Neighbours go together: Gaussians of 4 pixels leave exp(−1 / (4 · 4²)) of the product at a distance of 1.
  const Tensor below = inner(along_x, 1) - at::arange(7, 21, at::kDouble);
  CHECK((x * below).mean().item<double>() / (x * x).mean().item<double>() ==
        Approx(std::exp(-1.0 / 64)).epsilon(0.01));
}

TEST_CASE("the operations of LibTorch augment to the same images", "[augment]") {
  const AugmentOptions options = GENERATE(AugmentOptions{}, AugmentOptions{15, 0.1, 0.2, 2, 0},
                                          AugmentOptions{180, 1, 1, 20, 10}, AugmentOptions{0, 0, 0, 0, 3});
  const ImageShape shape = GENERATE(ImageShape{28, 28}, ImageShape{9, 14}, ImageShape{100, 100});
  const at::ScalarType type = GENERATE(at::kFloat, at::kDouble);
  const std::int64_t lanes = GENERATE(1, 3);
  CAPTURE(options.rotation, options.elastic, shape.rows, lanes);
  const Tensor pixels = at::randint(256, {50, shape.rows * shape.columns}, at::kByte);
  const Tensor chosen =
      lanes == 1 ? at::randint(50, {64}, at::kLong) : at::randint(50, {64, lanes}, at::kLong);
  const AugmentedPart part{options, std::vector<std::uint64_t>(static_cast<std::size_t>(lanes), 7), 2, 5};
  std::vector<std::int64_t> sizes = chosen.sizes().vec();
  sizes.push_back(pixels.size(1));
  Tensor by_pixels = at::empty(sizes, type);
  Tensor by_operations = at::empty(sizes, type);
  const Augmenter augmenter(shape);
  augmenter.augment(by_pixels, pixels, chosen, part);
  augmenter.augment_by_operations(by_operations, pixels, chosen, part);
  CHECK((by_pixels - by_operations).abs().max().item<double>() < 1e-4);
}

TEST_CASE("an augmented image depends on its place alone", "[augment]") {
  const Splits splits =
      split(small_dataset(700, 9, 12, 10), {SplitOptions::Kind::official, 0.0, 1}, at::kDouble);
  const Tensor images = all_of(splits.train, 1, 32, {5}, false);
  CHECK(at::equal(images, all_of(splits.train, 1, 32, {5}, true)));
  // In other batches and blocks, the positions of an epoch stay.
  CHECK(at::equal(images, all_of(splits.train, 1, 700, {5}, false)));
  CHECK(at::equal(images, all_of(splits.train, 1, 7, {5}, true)));
  set_threads(2);
  CHECK(at::equal(images, all_of(splits.train, 1, 32, {5}, false)));
  set_threads(1);
  CHECK_FALSE(at::equal(images, all_of(splits.train, 1, 32, {6}, false)));
  CHECK_FALSE(at::equal(images.slice(0, 0, 700), images.slice(0, 700, 1400)));
  // As after a resumption: nothing was asked for before.
  Batches later(splits.train, 1, 32, {5}, true, true, strong_preset());
  const std::int64_t step = 2 * later.per_epoch() + 3;
  CHECK(at::equal(later.at(step).images, images.slice(0, 1400 + 3 * 32, 1400 + 4 * 32)));
}

TEST_CASE("each epoch changes images anew, also where their order stays", "[augment]") {
  const Splits splits = split(small_dataset(90, 9), {SplitOptions::Kind::official, 0.0, 1}, at::kFloat);
  Batches batches(splits.train, 1, 90, {5}, false, false, strong_preset());
  const Tensor first = batches.at(0).images.clone();
  CHECK_FALSE(at::equal(first, batches.at(1).images));
  CHECK(at::equal(first, batches.at(0).images));
}

TEST_CASE("a lane's images are augmented as those of its network alone", "[augment]") {
  const Dataset dataset = small_dataset(300, 9, 12, 10);
  const std::vector<std::uint64_t> seeds = {4, 9, 2};
  const SplitOptions options{SplitOptions::Kind::official, 0.2, 1};
  const Splits lanes = split(dataset, options, seeds, at::kFloat);
  const Tensor together = all_of(lanes.train, 6, 32, seeds, GENERATE(false, true));
  for (std::size_t k = 0; k < seeds.size(); ++k) {
    const Splits alone = split(dataset, {options.kind, 0.2, seeds[k]}, at::kFloat);
    CHECK(at::equal(together.select(1, static_cast<std::int64_t>(k)),
                    all_of(alone.train, 1, 32, {seeds[k]}, false)));
  }
}

TEST_CASE("the shares of each batch are the batch", "[augment]") {
  const std::vector<std::uint64_t> seeds = {4, 9};
  const Splits splits =
      split(small_dataset(100, 9, 12, 10), {SplitOptions::Kind::official, 0.1, 1}, seeds, at::kFloat);
  const AugmentOptions augment = GENERATE(AugmentOptions(), strong_preset());
  const bool prefetch = GENERATE(false, true);
  // Of 90 images the last batch has 26, or 12, of which a share has more than another one of 13, or none.
  const auto [batch_size, count] = GENERATE(std::pair{32, 3}, std::pair{13, 8}, std::pair{13, 16});
  Batches whole(splits.train, 4, batch_size, seeds, true, prefetch, augment);
  std::vector<std::unique_ptr<Batches>> shares;
  for (std::int64_t index = 0; index < count; ++index) {
    shares.push_back(std::make_unique<Batches>(splits.train, 4, batch_size, seeds, true, prefetch, augment,
                                               AugmentStrength(), BatchShare{index, count}));
  }
  for (std::int64_t step = 0; step < 2 * whole.per_epoch(); ++step) {
    std::vector<Tensor> images;
    std::vector<Tensor> targets;
    for (const auto& share : shares) {
      images.push_back(share->at(step).images);
      targets.push_back(share->at(step).targets);
    }
    CHECK(at::equal(at::cat(images), whole.at(step).images));
    CHECK(at::equal(at::cat(targets), whole.at(step).targets));
  }
}

TEST_CASE("the strength of an epoch multiplies all bounds", "[augment]") {
  const Splits splits = split(small_dataset(90, 9), {SplitOptions::Kind::official, 0.0, 1}, at::kFloat);
  const auto fading = [](std::int64_t epoch) { return epoch == 0 ? 1.0 : epoch == 1 ? 0.25 : 0.0; };
  const Tensor faded = all_of(splits.train, 1, 90, {5}, GENERATE(false, true), 3, fading);
  const Tensor full = all_of(splits.train, 1, 90, {5}, false);
  CHECK(at::equal(faded.slice(0, 0, 90), full.slice(0, 0, 90)));
  Tensor quarter = at::empty({90, 30}, at::kFloat);
  Augmenter({6, 5}).augment(quarter, splits.train.pixels, at::tensor(epoch_order(90, 5, 1)),
                            {strong_preset().times(0.25), {5}, 1, 0});
  CHECK(at::equal(faded.slice(0, 90, 180), quarter));
  Batches plain(splits.train, 1, 90, {5}, true, false);
  CHECK(at::equal(faded.slice(0, 180, 270), plain.at(2).images));
}

TEST_CASE("presets grow, and a number that is said takes the place of the preset's", "[augment]") {
  using Preset = AugmentChoice::Preset;
  CHECK_FALSE(preset(Preset::none).any());
  CHECK(preset(Preset::light).any());
  CHECK(preset(Preset::light).rotation < preset(Preset::medium).rotation);
  CHECK(preset(Preset::medium).elastic < preset(Preset::strong).elastic);
  AugmentChoice choice;
  choice.preset = Preset::medium;
  choice.elastic = 0;
  choice.shift = 3;
  CHECK(choice.options().elastic == 0);
  CHECK(choice.options().shift == 3);
  CHECK(choice.options().rotation == preset(Preset::medium).rotation);
}

TEST_CASE("a shift that leaves nothing of an image is refused", "[augment]") {
  const Splits splits = split(small_dataset(90, 9), {SplitOptions::Kind::official, 0.0, 1}, at::kFloat);
  AugmentOptions options;
  options.shift = 5;
  CHECK_THROWS_AS(Batches(splits.train, 1, 9, {5}, true, false, options), DataError);
  CHECK_THROWS_WITH(validate(options, {6, 5}),
                    "shift: got 5, but the images have 6 × 5 pixels; must be at least 0 and below 5");
  options.shift = 4.9;
  CHECK_NOTHROW(validate(options, {6, 5}));
  Examples shapeless = splits.train;
  shapeless.shape = {};
  CHECK_THROWS_AS(Batches(shapeless, 1, 9, {5}, true, false, options), ArgumentError);
}

TEST_CASE("time to augment an image", "[augment]") {
  const Tensor pixels = digits(512);
  Tensor images = at::empty(pixels.sizes(), at::kFloat);
  const Tensor chosen = at::arange(512);
  const Augmenter augmenter(digit_shape);
  using Clock = std::chrono::steady_clock;
  for (const double elastic : {0.0, 1.0}) {
    double least = 1e9;
    for (std::int64_t round = 0; round < 20; ++round) {
      const auto begin = Clock::now();
      augmenter.augment(images, pixels, chosen, {{10, 0.1, 0.1, 1.5, elastic}, {1}, round, 0});
      least = std::min(least, std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / 512);
    }
    CHECK(std::isfinite(images.sum().item<double>()));
    WARN(fmt::format("augmenting a digit takes {:.2f} µs{}", least, elastic > 0 ? ", elastic" : ""));
  }
}
