// How a camera was held, as it noted in a JPEG file. Free of LibTorch.
#pragma once

#include "handgrad/files/file.h"

namespace handgrad {

// The orientation 1 to 8 of Exif 2.3 (tag 0x0112): 1 where the picture stands as stored, 6 where it must be turned
// by 90° clockwise, and so on. 1 too where the bytes are no JPEG, say nothing of it, or what they say cannot be
// read.
int exif_orientation(const Bytes& bytes);

}  // namespace handgrad
