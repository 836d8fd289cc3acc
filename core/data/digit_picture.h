// Pictures of digits made ready as those of MNIST were (LeCun, Bottou, Bengio and Haffner, 1998): light on
// dark, cut out, scaled to 20 of 28 pixels and centred by their centre of mass. Free of LibTorch.
#pragma once

#include <string>

#include "handgrad/data/idx.h"
#include "handgrad/data/image_shape.h"

namespace handgrad {

// The digits of a grey picture [1, rows, columns], dark on light or light on dark, as [digits, rows, columns]
// of `size`, from left to right: one, or with `several` as many as stand side by side. Throws DataError,
// which begins with `name`, when there is no ink, and without `several` when there is more than one digit.
IdxArray prepare_digits(const IdxArray& picture, ImageShape size, bool several, const std::string& name);

}  // namespace handgrad
