// What augmentation makes of images, to look at.
#pragma once

#include <cstdint>

#include "handgrad/data/augment.h"
#include "handgrad/data/dataset.h"

namespace handgrad {

// A picture [1, rows, columns] for serialize_png. Each row is of a class, at most ten of them: its first
// image in this set, which is of one lane, and ten copies, changed as training with this data seed changes an
// image from epoch to epoch. The same bits on every device.
IdxArray augmented_picture(const Examples& images, const AugmentOptions& options, std::uint64_t data_seed);

}  // namespace handgrad
