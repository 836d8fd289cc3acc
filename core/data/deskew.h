// Deskewing: handwriting that leans is set upright, and moved to the middle. The slant is that of the image's
// second moments, as LeCun, Bottou, Bengio and Haffner, 1998, "Gradient-based learning applied to document
// recognition", section III.A, have it: the axis of the ink becomes vertical.
#pragma once

#include "handgrad/base/tensor.h"
#include "handgrad/data/image_shape.h"

namespace handgrad {

// pixels [N, rows·columns], uint8, on the CPU → the same of the upright images. With p the pixel in column x
// and row y of an image, and sums over all of its pixels:
//
//   m = max(Σ p, 1),   cx = Σ x p / m,   cy = Σ y p / m
//   slant = (Σ x y p / m − cx cy) / max(Σ y² p / m − cy², 1e-6), between −1 and 1
//
// The pixel in column x and row y of the upright image is interpolated bilinearly at the place of the original
//
//   x + ⌊256 (slant (y − (rows − 1) / 2) + (cx − (columns − 1) / 2)) + 1/2⌋ / 256
//   y + ⌊256 (cy − (rows − 1) / 2) + 1/2⌋ / 256
//
// where what lies outside is 0, and rounded, halves up. The sums are whole numbers, what follows them to ⌊ ⌋ is
// float64, the rest is whole numbers again: so every program that takes these steps gets the same bytes.
Tensor deskewed(const Tensor& pixels, ImageShape shape);

}  // namespace handgrad
