// Augmentation: inverse mapping and bilinear interpolation.
#include "handgrad/data/augment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "handgrad/base/errors.h"
#include "handgrad/base/random.h"
#include "handgrad/platform/threads.h"

namespace handgrad {

namespace {

constexpr std::int64_t node_distance = 4;  // pixels between two numbers of noise
constexpr double smoothing_width = 4;      // pixels: Simard's σ

constexpr std::int64_t images_per_part = 16;  // at least, of what a thread is given

std::int64_t nodes_for(std::int64_t size) {
  return size / node_distance + 1;
}

// How much of each node's noise comes to each pixel of an axis, [size, nodes]: a Gaussian of the distance,
// scaled so that independent noise of variance 1 at the nodes has that variance at each pixel too.
std::vector<float> smoothing_weights(std::int64_t size) {
  const std::int64_t nodes = nodes_for(size);
  const auto last = static_cast<double>(size - 1);
  std::vector<float> weights;
  std::vector<double> row(static_cast<std::size_t>(nodes));
  for (std::int64_t pixel = 0; pixel < size; ++pixel) {
    double squares = 0;
    for (std::int64_t node = 0; node < nodes; ++node) {
      const double place =
          nodes == 1 ? last / 2 : last * static_cast<double>(node) / static_cast<double>(nodes - 1);
      const double distance = (static_cast<double>(pixel) - place) / smoothing_width;
      const double weight = std::exp(-distance * distance / 2);
      row[static_cast<std::size_t>(node)] = weight;
      squares += weight * weight;
    }
    for (const double weight : row) weights.push_back(static_cast<float>(weight / std::sqrt(squares)));
  }
  return weights;
}

std::vector<float> transposed(const std::vector<float>& matrix, std::int64_t columns) {
  std::vector<float> result;
  result.reserve(matrix.size());
  const auto width = static_cast<std::size_t>(columns);
  for (std::size_t column = 0; column < width; ++column) {
    for (std::size_t i = column; i < matrix.size(); i += width) result.push_back(matrix[i]);
  }
  return result;
}

// The numbers of one image. All are drawn, also where a bound is 0, so that one bound changes nothing of what
// the others do. `noise`: where that of the elastic part goes, each component with half of its square.
AffineMap draw(const AugmentedPart& part, std::int64_t lane, std::int64_t position, ImageShape shape,
               std::vector<float>& noise) {
  const AugmentOptions& bounds = part.options;
  QuickRandom random(part.data_seeds[static_cast<std::size_t>(lane)], Stream::augmentation,
                     static_cast<std::uint64_t>(part.epoch), static_cast<std::uint64_t>(position));
  const auto up_to = [&](double bound) { return bound * random.uniform(-1, 1); };
  const double angle = up_to(bounds.rotation);
  const double scale_x = up_to(bounds.scale);
  const double scale_y = up_to(bounds.scale);
  const double shear = up_to(bounds.shear);
  const double shift_x = up_to(bounds.shift);
  const double shift_y = up_to(bounds.shift);
  if (bounds.elastic > 0) {
    const auto deviation = static_cast<float>(bounds.elastic / std::sqrt(2.0));
    for (float& number : noise) number = deviation * random.nearly_normal();
  }
  return inverse_affine(shape, angle, scale_x, scale_y, shear, shift_x, shift_y);
}

// sum += Σ factors[i] · values[i], rows of `width` numbers; four at a time, so that the sum is seldom loaded
// and stored.
void add_combination(float* sum, const float* factors, const float* values, std::int64_t count,
                     std::int64_t width) {
  std::int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const float* v = values + i * width;
    const float a = factors[i];
    const float b = factors[i + 1];
    const float c = factors[i + 2];
    const float d = factors[i + 3];
    for (std::int64_t x = 0; x < width; ++x) {
      sum[x] += (a * v[x] + b * v[x + width]) + (c * v[x + 2 * width] + d * v[x + 3 * width]);
    }
  }
  for (; i < count; ++i) {
    for (std::int64_t x = 0; x < width; ++x) sum[x] += factors[i] * values[i * width + x];
  }
}

// Pixels of a row that are worked on at once: enough for the row of an MNIST image.
constexpr std::int64_t stretch = 32;

// Where the pixels of a stretch come from.
struct Sources {
  std::array<std::int32_t, stretch> place;  // the four pixels around it, in a table of such
  std::array<float, stretch> right, down;   // from the upper left of them, 0 to 1
};

// A stretch of a row of the changed image. Coordinates are those of the margin, where all outside is 0.
void find_sources(Sources& sources, const AffineMap& map, std::int64_t row, std::int64_t begin,
                  std::int64_t count, const float* along_x, const float* along_y, ImageShape shape) {
  const auto row_number = static_cast<float>(row);
  const float x_of_row = map.xy * row_number + map.x0 + 1;
  const float y_of_row = map.yy * row_number + map.y0 + 1;
  const auto most_x = static_cast<float>(shape.columns + 1);
  const auto most_y = static_cast<float>(shape.rows + 1);
  const auto width = static_cast<std::int32_t>(shape.columns + 2);
  const auto first = static_cast<std::int32_t>(begin);
  const auto end = static_cast<std::int32_t>(count);
  for (std::int32_t i = 0; i < end; ++i) {
    const auto column = static_cast<float>(first + i);
    const float x = std::min(std::max(x_of_row + map.xx * column + along_x[i], 0.0F), most_x);
    const float y = std::min(std::max(y_of_row + map.yx * column + along_y[i], 0.0F), most_y);
    const auto left = static_cast<std::int32_t>(x);
    const auto top = static_cast<std::int32_t>(y);
    const auto k = static_cast<std::size_t>(i);
    sources.place[k] = top * width + left;
    sources.right[k] = x - static_cast<float>(left);
    sources.down[k] = y - static_cast<float>(top);
  }
}

template <typename T>
void interpolate(T* image, const Sources& sources, std::int64_t count, const std::uint32_t* corners) {
  const auto end = static_cast<std::size_t>(count);
  std::array<std::uint32_t, stretch> around;
  for (std::size_t i = 0; i < end; ++i) around[i] = corners[sources.place[i]];
  for (std::size_t i = 0; i < end; ++i) {
    const std::uint32_t four = around[i];
    const auto corner = [=](int number) {
      return static_cast<float>(static_cast<std::int32_t>(four >> (8 * number) & 0xff));
    };
    const float above = corner(0) + sources.right[i] * (corner(1) - corner(0));
    const float below = corner(2) + sources.right[i] * (corner(3) - corner(2));
    image[i] = static_cast<T>(above + sources.down[i] * (below - above)) * static_cast<T>(1.0 / 255);
  }
}

// The image within its margin, which is there already, and from it what is around each place.
void find_corners(std::vector<std::uint32_t>& corners, std::vector<std::uint8_t>& padded,
                  const std::uint8_t* pixels, ImageShape shape) {
  const std::int64_t width = shape.columns + 3;
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    std::memcpy(padded.data() + (row + 1) * width + 1, pixels + row * shape.columns,
                static_cast<std::size_t>(shape.columns));
  }
  std::uint32_t* corner = corners.data();
  for (std::int64_t row = 0; row < shape.rows + 2; ++row) {
    const std::uint8_t* here = padded.data() + row * width;
    const std::uint8_t* below = here + width;
    for (std::int64_t column = 0; column < shape.columns + 2; ++column) {
      corner[column] = std::uint32_t{here[column]} | std::uint32_t{here[column + 1]} << 8 |
                       std::uint32_t{below[column]} << 16 | std::uint32_t{below[column + 1]} << 24;
    }
    corner += shape.columns + 2;
  }
}

// One coordinate of where pixels come from, [N, rows, columns]; maps [N, 3]: how it grows with the column and
// the row, and where it begins.
Tensor places(const Tensor& maps, ImageShape shape) {
  const Tensor column = at::arange(shape.columns, maps.options());
  const Tensor row = at::arange(shape.rows, maps.options()).unsqueeze(1);
  const Tensor of_image = maps.view({-1, 3, 1, 1});
  return of_image.select(1, 0) * column + of_image.select(1, 1) * row + of_image.select(1, 2);
}

}  // namespace

AugmentOptions AugmentOptions::times(double factor) const {
  return {factor * rotation, factor * scale, factor * shear, factor * shift, factor * elastic};
}

void validate(const AugmentOptions& options, ImageShape shape) {
  const std::int64_t shorter = std::min(shape.rows, shape.columns);
  if (options.shift < static_cast<double>(shorter)) return;
  if (options.shift == 0) return;
  throw DataError("shift", fmt::format("got {}, but the images have {} × {} pixels; must be at least 0 and "
                                       "below {}",
                                       options.shift, shape.rows, shape.columns, shorter));
}

AugmentOptions AugmentChoice::options() const {
  constexpr std::array<AugmentOptions, 4> presets{
      {{}, {7, 0.08, 0.08, 1, 0}, {10, 0.10, 0.10, 1.5, 0.5}, {15, 0.12, 0.15, 2, 1.2}}};
  const AugmentOptions& of_preset = presets.at(static_cast<std::size_t>(preset));
  return {rotation.value_or(of_preset.rotation), scale.value_or(of_preset.scale),
          shear.value_or(of_preset.shear), shift.value_or(of_preset.shift),
          elastic.value_or(of_preset.elastic)};
}

AffineMap inverse_affine(ImageShape shape, double angle, double scale_x, double scale_y, double shear,
                         double shift_x, double shift_y) {
  constexpr double radians = 3.14159265358979323846 / 180;
  const double cosine = std::cos(radians * angle);
  const double sine = std::sin(radians * angle);
  const double from_x = std::exp(-scale_x);
  const double from_y = std::exp(-scale_y);
  const double xx = (cosine - shear * sine) * from_x;
  const double xy = (-sine - shear * cosine) * from_x;
  const double yx = sine * from_y;
  const double yy = cosine * from_y;
  const double centre_x = static_cast<double>(shape.columns - 1) / 2;
  const double centre_y = static_cast<double>(shape.rows - 1) / 2;
  const double x = centre_x + shift_x;
  const double y = centre_y + shift_y;
  const auto number = [](double value) { return static_cast<float>(value); };
  return {number(xx), number(xy), number(centre_x - xx * x - xy * y),
          number(yx), number(yy), number(centre_y - yx * x - yy * y)};
}

// What one thread works with, from image to image.
struct Augmenter::Scratch {
  Scratch(ImageShape shape, std::int64_t row_nodes, std::int64_t column_nodes)
      : padded(static_cast<std::size_t>((shape.rows + 3) * (shape.columns + 3))),
        corners(static_cast<std::size_t>((shape.rows + 2) * (shape.columns + 2))),
        noise(static_cast<std::size_t>(row_nodes * 2 * column_nodes)),
        spread(static_cast<std::size_t>(row_nodes * 2 * shape.columns)),
        displacement(static_cast<std::size_t>(2 * shape.columns)) {}

  std::vector<std::uint8_t> padded;    // the image with a margin of 0: one pixel, and two at right and bottom
  std::vector<std::uint32_t> corners;  // of each pixel of `padded`, it and those right, below and both
  std::vector<float> noise;            // [row_nodes, 2, column_nodes]: along x, then y
  std::vector<float> spread;           // [row_nodes, 2, columns]: the same, smoothed along the rows
  std::vector<float> displacement;     // [2, columns]: of the row that is worked on
};

Augmenter::Augmenter(ImageShape shape)
    : shape_(shape),
      row_nodes_(nodes_for(shape.rows)),
      column_nodes_(nodes_for(shape.columns)),
      row_weights_(smoothing_weights(shape.rows)),
      column_weights_(transposed(smoothing_weights(shape.columns), column_nodes_)) {}

void Augmenter::augment(Tensor& images, const Tensor& pixels, const Tensor& chosen,
                        const AugmentedPart& part) const {
  if (pixels.is_cuda()) return augment_by_operations(images, pixels, chosen, part);
  if (images.scalar_type() == at::kDouble) return augment_all<double>(images, pixels, chosen, part);
  augment_all<float>(images, pixels, chosen, part);
}

template <typename T>
void Augmenter::augment_all(Tensor& images, const Tensor& pixels, const Tensor& chosen,
                            const AugmentedPart& part) const {
  const auto lanes = static_cast<std::int64_t>(part.data_seeds.size());
  const std::int64_t inputs = pixels.size(1);
  const std::int64_t count = chosen.numel();
  const std::int64_t* rows = chosen.data_ptr<std::int64_t>();
  const std::uint8_t* first = pixels.data_ptr<std::uint8_t>();
  T* image = images.data_ptr<T>();
  share_out_ranges(count, images_per_part, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch(shape_, row_nodes_, column_nodes_);
    for (std::int64_t i = begin; i < end; ++i) {
      const AffineMap map = draw(part, i % lanes, part.begin + i / lanes, shape_, scratch.noise);
      if (part.options.elastic > 0) smooth_along_rows(scratch);
      augment_one(image + i * inputs, first + rows[i] * inputs, map, part.options.elastic > 0, scratch);
    }
  });
}

void Augmenter::smooth_along_rows(Scratch& scratch) const {
  std::fill(scratch.spread.begin(), scratch.spread.end(), 0.0F);
  for (std::int64_t i = 0; i < 2 * row_nodes_; ++i) {
    add_combination(scratch.spread.data() + i * shape_.columns, scratch.noise.data() + i * column_nodes_,
                    column_weights_.data(), column_nodes_, shape_.columns);
  }
}

template <typename T>
void Augmenter::augment_one(T* image, const std::uint8_t* pixels, const AffineMap& map, bool elastic,
                            Scratch& scratch) const {
  find_corners(scratch.corners, scratch.padded, pixels, shape_);
  for (std::int64_t row = 0; row < shape_.rows; ++row) {
    if (elastic) {
      std::fill(scratch.displacement.begin(), scratch.displacement.end(), 0.0F);
      add_combination(scratch.displacement.data(), row_weights_.data() + row * row_nodes_,
                      scratch.spread.data(), row_nodes_, 2 * shape_.columns);
    }
    for (std::int64_t begin = 0; begin < shape_.columns; begin += stretch) {
      const std::int64_t count = std::min(stretch, shape_.columns - begin);
      Sources sources;
      const float* along_x = scratch.displacement.data() + begin;
      find_sources(sources, map, row, begin, count, along_x, along_x + shape_.columns, shape_);
      interpolate(image + row * shape_.columns + begin, sources, count, scratch.corners.data());
    }
  }
}

void Augmenter::augment_by_operations(Tensor& images, const Tensor& pixels, const Tensor& chosen,
                                      const AugmentedPart& part) const {
  const auto lanes = static_cast<std::int64_t>(part.data_seeds.size());
  const std::int64_t count = chosen.numel();
  Tensor affine = at::empty({count, 2, 3}, at::kFloat);
  Tensor noise = at::empty({count, row_nodes_, 2, column_nodes_}, at::kFloat);
  std::vector<float> of_image(static_cast<std::size_t>(row_nodes_ * 2 * column_nodes_));
  for (std::int64_t i = 0; i < count; ++i) {
    const AffineMap a = draw(part, i % lanes, part.begin + i / lanes, shape_, of_image);
    const std::array<float, 6> numbers{a.xx, a.xy, a.x0, a.yx, a.yy, a.y0};
    std::copy(numbers.begin(), numbers.end(), affine.data_ptr<float>() + 6 * i);
    std::copy(of_image.begin(), of_image.end(),
              noise.data_ptr<float>() + i * static_cast<std::int64_t>(of_image.size()));
  }
  const auto options = images.options();
  Tensor x = places(affine.select(1, 0).to(options), shape_);
  Tensor y = places(affine.select(1, 1).to(options), shape_);
  if (part.options.elastic > 0) {
    const Tensor over_rows = at::tensor(row_weights_).view({shape_.rows, row_nodes_}).to(options);
    const Tensor over_columns = at::tensor(column_weights_).view({column_nodes_, shape_.columns}).to(options);
    noise = noise.to(options);
    x += at::matmul(over_rows, at::matmul(noise.select(2, 0), over_columns));
    y += at::matmul(over_rows, at::matmul(noise.select(2, 1), over_columns));
  }
  // As grid_sampler counts without align_corners: −1 is the left edge of the first pixel, 1 the right edge of
  // the last.
  x.mul_(2).add_(1).div_(static_cast<double>(shape_.columns)).sub_(1);
  y.mul_(2).add_(1).div_(static_cast<double>(shape_.rows)).sub_(1);
  const Tensor grid = at::stack({x, y}, -1);
  const Tensor originals = pixels.index_select(0, chosen.reshape(-1))
                               .to(options.dtype())
                               .mul_(1.0 / 255)
                               .view({count, 1, shape_.rows, shape_.columns});
  constexpr std::int64_t bilinear = 0;
  constexpr std::int64_t zeros_outside = 0;
  images.copy_(at::grid_sampler_2d(originals, grid, bilinear, zeros_outside, false).view(images.sizes()));
}

}  // namespace handgrad
