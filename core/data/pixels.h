// Pixels as the input of a network.
#pragma once

#include <cstdint>

#include "handgrad/base/tensor.h"

namespace handgrad {

// images = pixels / 255: 0 … 255 as uint8 to 0 … 1, of one shape; the same of so many that follow each other.
void scale_pixels(Tensor& images, const Tensor& pixels);
template <typename Number>
void scale_pixels(Number* __restrict images, const std::uint8_t* __restrict pixels, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    images[i] = static_cast<Number>(pixels[i]) * static_cast<Number>(1.0 / 255);
}

// The mean and the standard deviation (divided by N) of all pixels, as images have them, 0 … 1. pixels: uint8.
struct Brightness {
  double mean = 0, deviation = 0;
};
Brightness brightness_of(const Tensor& pixels);

// The same of each of K lanes, [K,1]; the deviation of pixels that are all equal is 1.
struct Standardisation {
  Tensor mean, deviation;

  bool defined() const { return mean.defined(); }
};

// pixels [P, inputs], uint8; rows [K, N], which of them each lane has. options: of the results.
Standardisation standardisation_of(const Tensor& pixels, const Tensor& rows,
                                   const at::TensorOptions& options);

// images = (images − mean) / deviation; images [N, inputs], or with lanes [N, K, inputs]. Nothing where it is
// undefined.
void standardise(Tensor& images, const Standardisation& by);

}  // namespace handgrad
