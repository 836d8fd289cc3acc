// From a picture to the pixels that a network of MNIST expects.
#include "handgrad/data/digit_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/leptonica.h"

namespace handgrad {

namespace {

// A digit takes 20 pixels; what a picture has beyond this, noise above all, is averaged away.
constexpr int longest_side = 600;

// The ground: a quadratic surface over the picture, whose sides run from -1 to 1, and how far the ground's own
// pixels lie from it.
constexpr std::size_t terms = 6;
using Terms = std::array<float, terms>;

struct Ground {
  Terms coefficients{};
  float deviation = 0;
};

struct Pixel {
  Terms terms;
  float grey;
};

Terms terms_at(int x, int y, Pix* pix) {
  const float u = (2 * static_cast<float>(x) + 1) / static_cast<float>(pixGetWidth(pix)) - 1;
  const float v = (2 * static_cast<float>(y) + 1) / static_cast<float>(pixGetHeight(pix)) - 1;
  return {1, u, v, u * u, u * v, v * v};
}

float height(const Terms& coefficients, const Terms& at) {
  float sum = 0;
  for (std::size_t t = 0; t < terms; ++t) sum += coefficients[t] * at[t];
  return sum;
}

int grey_at(Pix* pix, int x, int y) {
  return GET_DATA_BYTE(pixGetData(pix) + std::int64_t{y} * pixGetWpl(pix), x);
}

// By least squares. A little is added to the diagonal: a frame of few pixels does not decide about all terms.
Terms fitted(const std::vector<Pixel>& pixels) {
  std::array<Terms, terms> matrix{};
  Terms right{};
  std::array<float*, terms> rows{};
  for (std::size_t i = 0; i < terms; ++i) {
    rows[i] = matrix[i].data();
    matrix[i][i] = i == 0 ? 0 : 1e-3F * static_cast<float>(pixels.size());
  }
  for (const Pixel& pixel : pixels) {
    for (std::size_t i = 0; i < terms; ++i) {
      for (std::size_t j = 0; j < terms; ++j) matrix[i][j] += pixel.terms[i] * pixel.terms[j];
      right[i] += pixel.terms[i] * pixel.grey;
    }
  }
  gaussjordan(rows.data(), right.data(), static_cast<int>(terms));
  return right;
}

// Of the picture's frame, which is ground where the digit does not touch it: what lies far from the surface is
// taken for ink and left out of the next fit.
Ground find_ground(Pix* pix) {
  const int width = pixGetWidth(pix);
  const int rows = pixGetHeight(pix);
  const int frame = std::max(1, std::min(width, rows) / 20);
  std::vector<Pixel> pixels;
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < width; ++x) {
      if (std::min({x, y, width - 1 - x, rows - 1 - y}) >= frame) continue;
      pixels.push_back({terms_at(x, y, pix), static_cast<float>(grey_at(pix, x, y))});
    }
  }
  // Begins at the median, which ink in less than half of the frame does not move.
  const auto middle = pixels.begin() + static_cast<std::ptrdiff_t>(pixels.size() / 2);
  std::nth_element(pixels.begin(), middle, pixels.end(),
                   [](const Pixel& a, const Pixel& b) { return a.grey < b.grey; });
  Ground ground;
  ground.coefficients[0] = middle->grey;
  constexpr int fits = 5;
  for (int fit = 0; fit < fits; ++fit) {
    std::vector<float> distances;
    for (const Pixel& pixel : pixels) {
      distances.push_back(std::abs(pixel.grey - height(ground.coefficients, pixel.terms)));
    }
    std::vector<float> sorted = distances;
    const auto typical = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), typical, sorted.end());
    ground.deviation = 1.4826F * *typical;  // of a normal distribution, by its median distance
    const float farthest = 3 * std::max(ground.deviation, 1.0F);
    std::vector<Pixel> near;
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      if (distances[i] <= farthest) near.push_back(pixels[i]);
    }
    ground.coefficients = fitted(near);
  }
  return ground;
}

// The ink alone: how far each pixel stands out from the ground, to the side to which more does.
struct Ink {
  Owned<Pix> pix;
  int threshold = 0;  // from which it is ink, by Otsu's method (1979)
  int full = 0;       // of most ink
  int least = 0;      // what noise may reach
};

// The grey below which `share` of all pixels above `from` lie.
int quantile(Numa* histogram, int from, float share) {
  const l_float32* const counts = numaGetFArray(histogram, L_NOCOPY);
  const l_float32* const first = counts + from;
  const l_float32* const last = counts + numaGetCount(histogram);
  float all = 0;
  for (const auto* count = first; count != last; ++count) all += *count;
  float sum = 0;
  for (const auto* count = first; count != last; ++count) {
    sum += *count;
    if (sum >= share * all) return static_cast<int>(count - counts);
  }
  return from;
}

Ink find_ink(Pix* pix, const std::string& name) {
  const Ground ground = find_ground(pix);
  const int width = pixGetWidth(pix);
  const int rows = pixGetHeight(pix);
  const float noise = 3 * ground.deviation;
  float lighter = 0;
  float darker = 0;
  std::vector<float> differences;
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < width; ++x) {
      const float difference =
          static_cast<float>(grey_at(pix, x, y)) - height(ground.coefficients, terms_at(x, y, pix));
      differences.push_back(difference);
      lighter += std::max(difference - noise, 0.0F);
      darker += std::max(-difference - noise, 0.0F);
    }
  }
  const float sign = darker > lighter ? -1 : 1;
  Ink ink;
  ink.pix.reset(pixCreate(width, rows, 8));
  auto difference = differences.begin();
  for (int y = 0; y < rows; ++y) {
    l_uint32* row = pixGetData(ink.pix.get()) + std::int64_t{y} * pixGetWpl(ink.pix.get());
    for (int x = 0; x < width; ++x) {
      SET_DATA_BYTE(row, x, static_cast<int>(std::lround(std::clamp(sign * *difference++, 0.0F, 255.0F))));
    }
  }
  const Owned<Numa> histogram(pixGetGrayHistogram(ink.pix.get(), 1));
  constexpr float best_score_alone = 0;
  numaSplitDistribution(histogram.get(), best_score_alone, &ink.threshold, nullptr, nullptr, nullptr, nullptr,
                        nullptr);
  ink.full = quantile(histogram.get(), ink.threshold, 0.7F);
  ink.least = static_cast<int>(std::min(noise, static_cast<float>(ink.threshold) / 2));
  constexpr int least_contrast = 16;
  if (static_cast<float>(ink.full) < std::max(noise + noise / 3, static_cast<float>(least_contrast))) {
    throw DataError(
        fmt::format("{}: no ink stands out from the ground; give a picture of a digit", printable(name)));
  }
  return ink;
}

struct Extent {
  int left, top, right, bottom;  // the last two are outside

  int width() const { return right - left; }
  int rows() const { return bottom - top; }
};

// What belongs to one digit: strokes that touch, and others above, below or close beside them.
struct Digit {
  Extent extent;
  std::vector<int> strokes;
};

void merge(Digit& into, const Digit& from) {
  into.extent = {std::min(into.extent.left, from.extent.left), std::min(into.extent.top, from.extent.top),
                 std::max(into.extent.right, from.extent.right),
                 std::max(into.extent.bottom, from.extent.bottom)};
  into.strokes.insert(into.strokes.end(), from.strokes.begin(), from.strokes.end());
}

int overlap(const Extent& a, const Extent& b) {  // negative: the gap between them
  return std::min(a.right, b.right) - std::max(a.left, b.left);
}

// Strokes one above another are of one digit where they share half of the narrower one's columns; what is less
// than half as high as the highest, such as the bar of a 5, belongs to its nearest neighbour.
std::vector<Digit> find_digits(Pixa* strokes) {
  std::vector<int> areas;
  std::vector<Digit> digits;
  const int count = pixaGetCount(strokes);
  for (int s = 0; s < count; ++s) {
    const Owned<Pix> stroke(pixaGetPix(strokes, s, L_CLONE));
    areas.push_back(0);
    pixCountPixels(stroke.get(), &areas.back(), nullptr);
  }
  // What is far smaller than the largest stroke is a speck.
  constexpr int smallest_part = 25;
  const int largest = *std::max_element(areas.begin(), areas.end());
  for (int s = 0; s < count; ++s) {
    if (areas[static_cast<std::size_t>(s)] * smallest_part < largest) continue;
    int x = 0;
    int y = 0;
    int width = 0;
    int rows = 0;
    pixaGetBoxGeometry(strokes, s, &x, &y, &width, &rows);
    digits.push_back({{x, y, x + width, y + rows}, {s}});
  }
  const auto by_left = [](const Digit& a, const Digit& b) { return a.extent.left < b.extent.left; };
  std::sort(digits.begin(), digits.end(), by_left);
  for (std::size_t d = 0; d + 1 < digits.size();) {
    const Extent& a = digits[d].extent;
    const Extent& b = digits[d + 1].extent;
    if (2 * overlap(a, b) < std::min(a.width(), b.width())) {
      ++d;
      continue;
    }
    merge(digits[d], digits[d + 1]);
    digits.erase(digits.begin() + static_cast<std::ptrdiff_t>(d) + 1);
  }
  int highest = 0;
  for (const Digit& digit : digits) highest = std::max(highest, digit.extent.rows());
  for (std::size_t d = 0; d < digits.size() && digits.size() > 1;) {
    if (2 * digits[d].extent.rows() >= highest) {
      ++d;
      continue;
    }
    const bool has_left = d > 0;
    const bool has_right = d + 1 < digits.size();
    const bool leftwards = has_left && (!has_right || overlap(digits[d - 1].extent, digits[d].extent) >=
                                                          overlap(digits[d].extent, digits[d + 1].extent));
    merge(digits[leftwards ? d - 1 : d + 1], digits[d]);
    digits.erase(digits.begin() + static_cast<std::ptrdiff_t>(d));
    d = 0;
  }
  return digits;
}

// The ink of a digit and of the edges of its strokes, cut out, from 0 to 255.
Owned<Pix> cut_out(const Ink& ink, Pixa* strokes, const Digit& digit) {
  const Extent& extent = digit.extent;
  Owned<Pix> mask(pixCreate(pixGetWidth(ink.pix.get()), pixGetHeight(ink.pix.get()), 1));
  for (const int s : digit.strokes) {
    const Owned<Pix> stroke(pixaGetPix(strokes, s, L_CLONE));
    int x = 0;
    int y = 0;
    pixaGetBoxGeometry(strokes, s, &x, &y, nullptr, nullptr);
    pixRasterop(mask.get(), x, y, pixGetWidth(stroke.get()), pixGetHeight(stroke.get()), PIX_SRC | PIX_DST,
                stroke.get(), 0, 0);
  }
  constexpr int edge = 3;
  const Owned<Pix> wide(pixDilateBrick(nullptr, mask.get(), edge, edge));
  Owned<Pix> cut(pixCreate(extent.width(), extent.rows(), 8));
  const int range = std::max(ink.full - ink.least, 1);
  for (int y = 0; y < extent.rows(); ++y) {
    l_uint32* row = pixGetData(cut.get()) + std::int64_t{y} * pixGetWpl(cut.get());
    const l_uint32* mask_row = pixGetData(wide.get()) + std::int64_t{extent.top + y} * pixGetWpl(wide.get());
    for (int x = 0; x < extent.width(); ++x) {
      if (!GET_DATA_BIT(mask_row, extent.left + x)) continue;
      const int above = grey_at(ink.pix.get(), extent.left + x, extent.top + y) - ink.least;
      SET_DATA_BYTE(row, x, std::clamp(255 * above / range, 0, 255));
    }
  }
  return cut;
}

// Scaled to 20 of 28 parts of the size and laid with its centre of mass in the middle; what would come to lie
// outside is moved in.
void place(Pix* cut, ImageShape size, std::uint8_t* to) {
  const auto scale = std::min(static_cast<double>(size.columns) * 20 / 28 / pixGetWidth(cut),
                              static_cast<double>(size.rows) * 20 / 28 / pixGetHeight(cut));
  const int width = std::max(1, static_cast<int>(std::lround(scale * pixGetWidth(cut))));
  const int rows = std::max(1, static_cast<int>(std::lround(scale * pixGetHeight(cut))));
  const Owned<Pix> scaled(pixScaleAreaMapToSize(cut, width, rows));
  double mass = 0;
  double mass_x = 0;
  double mass_y = 0;
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < width; ++x) {
      const int grey = grey_at(scaled.get(), x, y);
      mass += grey;
      mass_x += grey * (x + 0.5);
      mass_y += grey * (y + 0.5);
    }
  }
  const auto corner = [&](double moment, std::int64_t side, int extent) {
    const auto at = std::lround(static_cast<double>(side) / 2 - moment / std::max(mass, 1.0));
    return std::clamp<std::int64_t>(at, 0, side - extent);
  };
  const std::int64_t left = corner(mass_x, size.columns, width);
  const std::int64_t top = corner(mass_y, size.rows, rows);
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < width; ++x) {
      to[(top + y) * size.columns + left + x] = static_cast<std::uint8_t>(grey_at(scaled.get(), x, y));
    }
  }
}

// Large pictures smaller, by the mean of the pixels that become one.
Owned<Pix> bounded(Owned<Pix> pix) {
  const int side = std::max(pixGetWidth(pix.get()), pixGetHeight(pix.get()));
  if (side <= longest_side) return pix;
  const float scale = static_cast<float>(longest_side) / static_cast<float>(side);
  return Owned<Pix>(pixScaleAreaMap(pix.get(), scale, scale));
}

}  // namespace

IdxArray prepare_digits(const IdxArray& picture, ImageShape size, bool several, const std::string& name) {
  setMsgSeverity(L_SEVERITY_NONE);
  const Owned<Pix> pix = bounded(pix_of(picture));
  if (!pix) throw DataError(fmt::format("{}: is too narrow to be prepared", printable(name)));
  const Ink ink = find_ink(pix.get(), name);
  const Owned<Pix> ground(pixThresholdToBinary(ink.pix.get(), ink.threshold + 1));
  const Owned<Pix> mask(pixInvert(nullptr, ground.get()));  // that call sets what is below the threshold
  Pixa* found = nullptr;
  const Owned<Boxa> boxes(pixConnComp(mask.get(), &found, 8));
  const Owned<Pixa> strokes(found);
  const std::vector<Digit> digits = find_digits(strokes.get());
  if (digits.size() > 1 && !several) {
    throw DataError(
        fmt::format("{}: shows {} digits side by side; cut one out, or give --digits to read them all",
                    printable(name), digits.size()));
  }
  IdxArray prepared{{static_cast<std::int64_t>(digits.size()), size.rows, size.columns}, {}};
  const auto pixels = static_cast<std::size_t>(size.rows * size.columns);
  prepared.values.resize(digits.size() * pixels);
  for (std::size_t d = 0; d < digits.size(); ++d) {
    const Owned<Pix> cut = cut_out(ink, strokes.get(), digits[d]);
    place(cut.get(), size, prepared.values.data() + d * pixels);
  }
  return prepared;
}

}  // namespace handgrad
