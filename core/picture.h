// PNG pictures as grey pixels, through libpng. Free of LibTorch.
#pragma once

#include <string>

#include "idx.h"

namespace handgrad {

// Whether the bytes begin with the PNG signature.
bool is_png(const Bytes& bytes);

// A picture as [1, rows, columns], 0 black to 255 white. Colour is weighted to grey, transparency shows
// black, 16 bits become 8. Throws DataError when the picture is damaged, cut short before the end of its
// pixels, or larger than 4096 × 4096.
IdxArray parse_png(const Bytes& bytes, const std::string& name);

}  // namespace handgrad
