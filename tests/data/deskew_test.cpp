// Checks that deskewing does what its equations say, and that upright images are what they should be.
#include "handgrad/data/deskew.h"

#include <cmath>
#include <functional>

#include "handgrad/data/dataset.h"
#include "handgrad/data/synthetic.h"
#include "handgrad/platform/threads.h"
#include "test.h"

using namespace handgrad;

namespace {

Tensor image_of(ImageShape shape, const std::function<double(double x, double y)>& ink) {
  Tensor image = at::zeros({1, shape.rows * shape.columns}, at::kByte);
  for (std::int64_t y = 0; y < shape.rows; ++y) {
    for (std::int64_t x = 0; x < shape.columns; ++x) {
      image[0][y * shape.columns + x] = std::lround(ink(static_cast<double>(x), static_cast<double>(y)));
    }
  }
  return image;
}

struct Moments {
  double cx, cy, slant;
};

Moments moments_of(const Tensor& image, ImageShape shape) {
  const Tensor p = image.to(at::kDouble).view({shape.rows, shape.columns});
  const Tensor x = at::arange(shape.columns, at::kDouble);
  const Tensor y = at::arange(shape.rows, at::kDouble).unsqueeze(1);
  const auto mean = [&](const Tensor& of) { return (p * of).sum().item<double>() / p.sum().item<double>(); };
  const double cx = mean(x);
  const double cy = mean(y);
  return {cx, cy, (mean(x * y) - cx * cy) / (mean(y * y) - cy * cy)};
}

// Every number of an image by itself, from the equations of deskew.h.
Tensor by_the_equations(const Tensor& image, ImageShape shape) {
  const Moments of = moments_of(image, shape);
  const double slant = std::min(1.0, std::max(-1.0, of.slant));
  const auto pixel = [&](double x, double y) {
    if (x < 0 || y < 0 || x >= static_cast<double>(shape.columns) || y >= static_cast<double>(shape.rows))
      return 0.0;
    return image[0][static_cast<std::int64_t>(y) * shape.columns + static_cast<std::int64_t>(x)]
        .item<double>();
  };
  return image_of(shape, [&](double column, double row) {
    const double middle_x = static_cast<double>(shape.columns - 1) / 2;
    const double middle_y = static_cast<double>(shape.rows - 1) / 2;
    const double x = column + std::floor(256 * (slant * (row - middle_y) + of.cx - middle_x) + 0.5) / 256;
    const double y = row + std::floor(256 * (of.cy - middle_y) + 0.5) / 256;
    const double left = std::floor(x);
    const double top = std::floor(y);
    const double above = (left + 1 - x) * pixel(left, top) + (x - left) * pixel(left + 1, top);
    const double below = (left + 1 - x) * pixel(left, top + 1) + (x - left) * pixel(left + 1, top + 1);
    return (top + 1 - y) * above + (y - top) * below;
  });
}

// A stroke that leans: 200 on the line, falling off to both sides.
Tensor stroke(ImageShape shape, double slope, double x0, double y0) {
  return image_of(shape, [&](double x, double y) {
    const double distance = std::abs(x - x0 - slope * (y - y0));
    return std::abs(y - y0) > 6 ? 0 : std::max(0.0, 200 - 80 * distance);
  });
}

}  // namespace

TEST_CASE("deskewed images are those of the equations", "[data]") {
  const ImageShape shape =
      GENERATE(ImageShape{28, 28}, ImageShape{9, 14}, ImageShape{5, 3}, ImageShape{1, 6});
  CAPTURE(shape.rows, shape.columns);
  for (int i = 0; i < 8; ++i) {
    // Ink of another strength here and there, so that slants and middles are of all kinds.
    const Tensor noise = at::rand({shape.rows * shape.columns}).pow(4);
    const Tensor image = noise.mul(255).to(at::kByte).unsqueeze(0);
    if (image.sum().item<std::int64_t>() == 0) continue;
    CHECK(at::equal(deskewed(image, shape), by_the_equations(image, shape)));
  }
}

TEST_CASE("a leaning stroke is set upright in the middle, an upright one stays", "[data]") {
  const ImageShape shape{28, 28};
  const double slope = GENERATE(-0.6, -0.25, 0.1, 0.5);
  const Tensor leaning = stroke(shape, slope, 12, 14);
  const Tensor upright = deskewed(leaning, shape);
  CHECK(std::abs(moments_of(leaning, shape).slant) > 0.08);
  CHECK(std::abs(moments_of(upright, shape).slant) < 0.02);
  CHECK(moments_of(upright, shape).cx == Approx(13.5).margin(0.02));
  CHECK(moments_of(upright, shape).cy == Approx(13.5).margin(0.02));
  const Tensor symmetric = stroke(shape, 0, 13.5, 13.5);
  CHECK(at::equal(deskewed(symmetric, shape), symmetric));
}

TEST_CASE("what has no slant is moved alone, and what has no ink stays empty", "[data]") {
  const ImageShape shape{28, 28};
  const Tensor blank = at::zeros({2, 784}, at::kByte);
  CHECK(at::equal(deskewed(blank, shape), blank));
  // One row of ink has no slant; a diagonal has more than is taken for handwriting.
  const Tensor row = image_of(shape, [](double x, double y) { return y == 3 && x > 5 && x < 16 ? 255 : 0; });
  const Tensor moved = deskewed(row, shape);
  CHECK(moments_of(moved, shape).cx == Approx(13.5).margin(0.01));
  CHECK(moments_of(moved, shape).cy == Approx(13.5).margin(0.01));
  CHECK(moved.sum().item<std::int64_t>() == Approx(row.sum().item<std::int64_t>()).epsilon(0.01));
  const Tensor flat = stroke(shape, 3, 13.5, 13.5);
  CHECK(moments_of(flat, shape).slant > 1.5);
  CHECK(moments_of(deskewed(flat, shape), shape).slant > 0.4);
}

TEST_CASE("deskewing is a function of the image alone, for any number of images and threads", "[data]") {
  const ImageShape shape{28, 28};
  const LabelledImages digits = synthetic_digits(1000, 3);
  const Tensor pixels = as_tensor(digits.images).flatten(1);
  set_threads(2);
  const Tensor together = deskewed(pixels, shape);
  set_threads(1);
  CHECK(at::equal(together, deskewed(pixels, shape)));
  CHECK(at::equal(together.narrow(0, 700, 1), deskewed(pixels.narrow(0, 700, 1), shape)));
  CHECK_FALSE(at::equal(together, pixels));
}
