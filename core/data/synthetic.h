// A built-in set of 28 × 28 digits for machines without MNIST: strokes under random affine jitter, thickness
// and noise. Free of LibTorch.
#pragma once

#include <cstdint>

#include "handgrad/data/idx.h"

namespace handgrad {

struct LabelledImages {
  IdxArray images;  // [count, rows, columns], 0 background to 255 ink
  IdxArray labels;  // [count], the classes 0 to 9
};

// `count` digits, labels uniform, a function of `seed` and `count` alone: the same bytes on every machine.
// A larger count with the same seed starts with the same images; a test set therefore needs another seed.
LabelledImages synthetic_digits(std::int64_t count, std::uint64_t seed);

}  // namespace handgrad
