// Whole pictures brought to the size that a network takes. Free of LibTorch.
#pragma once

#include "handgrad/data/idx.h"
#include "handgrad/data/image_shape.h"

namespace handgrad {

// A picture [1, rows, columns] stretched or shrunk to `shape`, whatever its proportions: linear interpolation,
// whose triangle is as wide as a pixel of the result where it shrinks, so that every pixel counts. What
// torchvision's Resize and Pillow's BILINEAR make of it, up to rounding.
IdxArray scaled_picture(const IdxArray& picture, ImageShape shape);

}  // namespace handgrad
