// Pixels as the input of a network.
#pragma once

#include "handgrad/base/tensor.h"

namespace handgrad {

// images = pixels / 255: 0 … 255 as uint8 to 0 … 1, of one shape.
void scale_pixels(Tensor& images, const Tensor& pixels);

}  // namespace handgrad
