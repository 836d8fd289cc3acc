// Whole pictures brought to another size.
#include "handgrad/data/scaled_picture.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace handgrad {

namespace {

// What a pixel of the result is made of, along one axis: these of the original, from `begin` on.
struct Taps {
  std::size_t begin = 0;
  std::vector<double> weights;  // whose sum is 1
};

std::vector<Taps> taps_of(std::int64_t from, std::int64_t to) {
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  const double reach = std::max(ratio, 1.0);
  std::vector<Taps> all;
  for (std::int64_t place = 0; place < to; ++place) {
    const double centre = (static_cast<double>(place) + 0.5) * ratio;
    const std::int64_t begin = std::max<std::int64_t>(std::llround(std::floor(centre - reach)), 0);
    const std::int64_t end = std::min<std::int64_t>(std::llround(std::ceil(centre + reach)), from);
    Taps taps{static_cast<std::size_t>(begin), {}};
    double sum = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const double distance = std::abs(static_cast<double>(i) + 0.5 - centre) / reach;
      taps.weights.push_back(std::max(1 - distance, 0.0));
      sum += taps.weights.back();
    }
    for (double& weight : taps.weights) weight /= sum;
    all.push_back(std::move(taps));
  }
  return all;
}

}  // namespace

IdxArray scaled_picture(const IdxArray& picture, ImageShape shape) {
  const auto rows = static_cast<std::size_t>(picture.shape[1]);
  const auto columns = static_cast<std::size_t>(picture.shape[2]);
  const std::vector<Taps> across = taps_of(picture.shape[2], shape.columns);
  std::vector<double> narrow;  // [rows, shape.columns]
  narrow.reserve(rows * across.size());
  for (std::size_t y = 0; y < rows; ++y) {
    const std::uint8_t* row = picture.values.data() + y * columns;
    for (const Taps& taps : across) {
      double sum = 0;
      for (std::size_t i = 0; i < taps.weights.size(); ++i) sum += taps.weights[i] * row[taps.begin + i];
      narrow.push_back(sum);
    }
  }
  IdxArray scaled{{1, shape.rows, shape.columns}, {}};
  scaled.values.reserve(static_cast<std::size_t>(shape.rows * shape.columns));
  for (const Taps& taps : taps_of(picture.shape[1], shape.rows)) {
    for (std::size_t x = 0; x < across.size(); ++x) {
      double sum = 0;
      for (std::size_t i = 0; i < taps.weights.size(); ++i) {
        sum += taps.weights[i] * narrow[(taps.begin + i) * across.size() + x];
      }
      scaled.values.push_back(static_cast<std::uint8_t>(std::clamp(std::floor(sum + 0.5), 0.0, 255.0)));
    }
  }
  return scaled;
}

}  // namespace handgrad
