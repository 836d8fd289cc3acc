// Draws the built-in digits: pen strokes from a small table, each image with its own hand.
#include "handgrad/data/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "handgrad/base/random.h"

namespace handgrad {

namespace {

struct Point {
  double x, y;
};
using Stroke = std::vector<Point>;
using Glyph = std::vector<Stroke>;

constexpr int side = 28;
using Canvas =
    std::array<double, std::size_t{side} * side>;  // how far each pixel is covered with ink, 0 to 1

// The hands differ so much (above all in the shift) that a linear classifier stays below 90 % of unseen
// images, and so little that 784-20-7-5-10 passes 95 %; thick dark strokes keep its first epochs short. Both
// were measured with 20,000 training images. Lengths are in pixels unless said otherwise.
constexpr double glyph_width = 14, glyph_height = 20;
constexpr double smallest_scale = 0.8, largest_scale = 1.05;
constexpr double largest_rotation = 0.26;  // radians
constexpr double largest_shear = 0.2;
constexpr double largest_shift = 4.0;
constexpr double wobble = 0.02;  // of the glyph's size
constexpr double thinnest_radius = 1.4, thickest_radius = 2.2;
constexpr double faintest_ink = 0.9;
constexpr double noise = 0.1;  // of full ink

// For each digit the ways to write it, in the unit square with y downwards. Neighbouring points are further
// apart than the wobble moves them, so that no segment has length zero.
const std::vector<std::vector<Glyph>>& alphabet() {
  // clang-format off
  static const Stroke ring = {{.5, 0}, {.75, .06}, {.93, .25}, {1, .5}, {.93, .75}, {.75, .94}, {.5, 1},
                              {.25, .94}, {.07, .75}, {0, .5}, {.07, .25}, {.25, .06}, {.5, 0}};
  static const std::vector<std::vector<Glyph>> glyphs = {
      {Glyph{ring},
       Glyph{ring, Stroke{{.8, .2}, {.2, .8}}}},
      {Glyph{Stroke{{.5, 0}, {.5, 1}}},
       Glyph{Stroke{{.2, .25}, {.55, 0}, {.55, 1}}, Stroke{{.2, 1}, {.9, 1}}}},
      {Glyph{Stroke{{.03, .25}, {.15, .07}, {.45, 0}, {.8, .06}, {.95, .25}, {.85, .48}, {.5, .72}, {0, 1},
                    {1, 1}}},
       Glyph{Stroke{{.05, .2}, {.3, .02}, {.65, .02}, {.88, .2}, {.8, .5}, {.45, .85}, {.2, 1}, {.02, .9},
                    {.15, .75}, {.5, .85}, {.8, 1}, {1, .9}}}},
      {Glyph{Stroke{{.05, .12}, {.35, 0}, {.75, .05}, {.92, .25}, {.75, .43}, {.4, .48}, {.8, .55}, {1, .75},
                    {.8, .94}, {.4, 1}, {0, .88}}},
       Glyph{Stroke{{.05, 0}, {.95, 0}, {.45, .4}, {.8, .48}, {1, .72}, {.8, .94}, {.4, 1}, {0, .88}}}},
      {Glyph{Stroke{{.75, 1}, {.75, 0}, {0, .68}, {1, .68}}},
       Glyph{Stroke{{.1, 0}, {.05, .5}, {.9, .5}}, Stroke{{.85, 0}, {.8, 1}}}},
      {Glyph{Stroke{{.95, 0}, {.15, 0}, {.08, .45}, {.5, .37}, {.85, .47}, {1, .7}, {.85, .92}, {.45, 1},
                    {0, .9}}}},
      {Glyph{Stroke{{.8, 0}, {.4, .15}, {.1, .45}, {0, .75}, {.2, .95}, {.5, 1}, {.85, .93}, {1, .73},
                    {.85, .53}, {.5, .47}, {.2, .53}, {.03, .7}}}},
      {Glyph{Stroke{{0, 0}, {1, 0}, {.4, 1}}},
       Glyph{Stroke{{0, .12}, {0, 0}, {1, 0}, {.6, .5}, {.4, 1}}, Stroke{{.25, .5}, {.9, .5}}}},
      {Glyph{Stroke{{.5, .46}, {.18, .37}, {.08, .2}, {.22, .05}, {.5, 0}, {.78, .05}, {.92, .2}, {.82, .37},
                    {.5, .46}, {.13, .57}, {0, .76}, {.18, .95}, {.5, 1}, {.82, .95}, {1, .76}, {.87, .57},
                    {.5, .46}}}},
      {Glyph{Stroke{{.97, .28}, {.8, .47}, {.5, .53}, {.15, .47}, {0, .27}, {.15, .07}, {.5, 0}, {.8, .05},
                    {1, .25}, {.9, .6}, {.6, .9}, {.2, 1}}},
       Glyph{Stroke{{.95, .25}, {.8, .45}, {.45, .52}, {.12, .44}, {0, .25}, {.15, .05}, {.5, 0}, {.85, .07},
                    {.95, .25}, {.9, 1}}}},
  };
  // clang-format on
  return glyphs;
}

// From the unit square to pixels: scale, shear, rotation about the centre, shift.
class Placement {
 public:
  explicit Placement(Random& random)
      : width_(glyph_width * random.uniform(smallest_scale, largest_scale)),
        height_(glyph_height * random.uniform(smallest_scale, largest_scale)),
        shear_(random.uniform(-largest_shear, largest_shear)),
        angle_(random.uniform(-largest_rotation, largest_rotation)),
        centre_{side / 2.0 + random.uniform(-largest_shift, largest_shift),
                side / 2.0 + random.uniform(-largest_shift, largest_shift)} {}

  Point operator()(Point point) const {
    const double y = (point.y - 0.5) * height_;
    const double x = (point.x - 0.5) * width_ - shear_ * y;
    return {centre_.x + std::cos(angle_) * x - std::sin(angle_) * y,
            centre_.y + std::sin(angle_) * x + std::cos(angle_) * y};
  }

 private:
  double width_, height_, shear_, angle_;
  Point centre_;
};

// The edge falls from ink to paper over one pixel, which is what antialiases it.
void draw_segment(Canvas& canvas, Point from, Point to, double radius) {
  const double reach = radius + 0.5;
  const auto first = [&](double a, double b) {
    return std::max(0, static_cast<int>(std::min(a, b) - reach));
  };
  const auto last = [&](double a, double b) {
    return std::min(side - 1, static_cast<int>(std::max(a, b) + reach));
  };
  const Point along{to.x - from.x, to.y - from.y};
  const double length_squared = along.x * along.x + along.y * along.y;
  for (int row = first(from.y, to.y); row <= last(from.y, to.y); ++row) {
    for (int column = first(from.x, to.x); column <= last(from.x, to.x); ++column) {
      const Point pixel{column + 0.5 - from.x, row + 0.5 - from.y};
      const double share = std::clamp((pixel.x * along.x + pixel.y * along.y) / length_squared, 0.0, 1.0);
      const Point off{pixel.x - share * along.x, pixel.y - share * along.y};
      const double distance = std::sqrt(off.x * off.x + off.y * off.y);
      double& covered = canvas[static_cast<std::size_t>(row) * side + static_cast<std::size_t>(column)];
      covered = std::max(covered, std::min(reach - distance, 1.0));
    }
  }
}

Canvas draw_glyph(const Glyph& glyph, Random& random) {
  const Placement place(random);
  const double radius = random.uniform(thinnest_radius, thickest_radius);
  Canvas canvas{};
  for (const Stroke& stroke : glyph) {
    std::vector<Point> path;
    for (const Point& point : stroke) {
      path.push_back(
          place({point.x + random.uniform(-wobble, wobble), point.y + random.uniform(-wobble, wobble)}));
    }
    for (std::size_t i = 1; i < path.size(); ++i) draw_segment(canvas, path[i - 1], path[i], radius);
  }
  return canvas;
}

}  // namespace

LabelledImages synthetic_digits(std::int64_t count, std::uint64_t seed) {
  LabelledImages digits{{{count, side, side}, {}}, {{count}, {}}};
  digits.images.values.reserve(static_cast<std::size_t>(count) * side * side);
  digits.labels.values.reserve(static_cast<std::size_t>(count));
  // One sequence for all images, because seeding an engine for each is slow: a larger count only adds images.
  Random random(seed, Stream::synthetic);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t label = random.below(alphabet().size());
    const std::vector<Glyph>& variants = alphabet()[label];
    const Canvas canvas = draw_glyph(variants[random.below(variants.size())], random);
    const double ink = random.uniform(faintest_ink, 1);
    for (const double covered : canvas) {
      const double value = std::clamp(ink * covered + random.uniform(-noise, noise), 0.0, 1.0);
      digits.images.values.push_back(static_cast<std::uint8_t>(std::lround(255 * value)));
    }
    digits.labels.values.push_back(static_cast<std::uint8_t>(label));
  }
  return digits;
}

}  // namespace handgrad
