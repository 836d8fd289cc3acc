// Deskewing: moments, then a shear and a shift.
#include "handgrad/data/deskew.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "handgrad/platform/threads.h"

namespace handgrad {

namespace {

constexpr std::int64_t images_upright_at_once = 64;  // at least, of what a thread is given

// Where an upright image comes from, in 1/256 of a pixel.
struct Upright {
  std::int64_t down = 0;            // of all pixels
  std::vector<std::int64_t> along;  // of those of each row
};

std::int64_t in_256ths(double pixels) {
  return static_cast<std::int64_t>(std::floor(256 * pixels + 0.5));
}

void find_upright(Upright& upright, const std::uint8_t* pixels, ImageShape shape) {
  std::int64_t m = 0;
  std::int64_t x_sum = 0;
  std::int64_t y_sum = 0;
  std::int64_t xy_sum = 0;
  std::int64_t yy_sum = 0;
  for (std::int64_t y = 0; y < shape.rows; ++y) {
    std::int64_t row_m = 0;
    std::int64_t row_x_sum = 0;
    for (std::int64_t x = 0; x < shape.columns; ++x) {
      const std::int64_t p = pixels[y * shape.columns + x];
      row_m += p;
      row_x_sum += x * p;
    }
    m += row_m;
    x_sum += row_x_sum;
    y_sum += y * row_m;
    xy_sum += y * row_x_sum;
    yy_sum += y * y * row_m;
  }
  const auto mass = static_cast<double>(std::max<std::int64_t>(m, 1));
  const double cx = static_cast<double>(x_sum) / mass;
  const double cy = static_cast<double>(y_sum) / mass;
  const double xy = static_cast<double>(xy_sum) / mass - cx * cy;
  const double yy = static_cast<double>(yy_sum) / mass - cy * cy;
  const double slant = std::clamp(xy / std::max(yy, 1e-6), -1.0, 1.0);
  const double middle_x = static_cast<double>(shape.columns - 1) / 2;
  const double middle_y = static_cast<double>(shape.rows - 1) / 2;
  upright.down = in_256ths(cy - middle_y);
  upright.along.clear();
  for (std::int64_t y = 0; y < shape.rows; ++y) {
    upright.along.push_back(in_256ths(slant * (static_cast<double>(y) - middle_y) + (cx - middle_x)));
  }
}

// ⌊number / 256⌋ and what is left.
constexpr std::int64_t whole_pixels(std::int64_t number) {
  return (number - (number & 255)) / 256;
}
constexpr std::int64_t part_of_pixel(std::int64_t number) {
  return number & 255;
}

void set_upright(std::uint8_t* image, const std::uint8_t* pixels, const Upright& upright, ImageShape shape) {
  const auto pixel = [&](std::int64_t x, std::int64_t y) -> std::int64_t {
    const bool inside = x >= 0 && x < shape.columns && y >= 0 && y < shape.rows;
    return inside ? pixels[y * shape.columns + x] : 0;
  };
  const std::int64_t below = part_of_pixel(upright.down);
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    const std::int64_t along = upright.along[static_cast<std::size_t>(row)];
    const std::int64_t right = part_of_pixel(along);
    const std::int64_t y = row + whole_pixels(upright.down);
    for (std::int64_t column = 0; column < shape.columns; ++column) {
      const std::int64_t x = column + whole_pixels(along);
      const std::int64_t upper = (256 - right) * pixel(x, y) + right * pixel(x + 1, y);
      const std::int64_t lower = (256 - right) * pixel(x, y + 1) + right * pixel(x + 1, y + 1);
      image[row * shape.columns + column] =
          static_cast<std::uint8_t>(((256 - below) * upper + below * lower + 32768) / 65536);
    }
  }
}

}  // namespace

Tensor deskewed(const Tensor& pixels, ImageShape shape) {
  const Tensor originals = pixels.contiguous();
  Tensor images = at::empty_like(originals);
  const std::int64_t count = originals.size(0);
  const std::int64_t inputs = originals.size(1);
  const std::uint8_t* original = originals.data_ptr<std::uint8_t>();
  auto* image = images.data_ptr<std::uint8_t>();
  share_out_ranges(count, images_upright_at_once, [&](std::int64_t begin, std::int64_t end) {
    Upright upright;
    for (std::int64_t i = begin; i < end; ++i) {
      find_upright(upright, original + i * inputs, shape);
      set_upright(image + i * inputs, original + i * inputs, upright, shape);
    }
  });
  return images;
}

}  // namespace handgrad
