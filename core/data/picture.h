// PNG pictures as grey pixels, through libpng. Free of LibTorch.
#pragma once

#include <string>

#include "handgrad/data/idx.h"

namespace handgrad {

// Whether the bytes begin with the PNG signature.
bool is_png(const Bytes& bytes);

// A picture as [1, rows, columns], 0 black to 255 white. Colour is weighted to grey, 16 bits become 8.
// Transparency shows white where the ink is dark, else black: it is dark where the mean grey of the pixels,
// each weighted by its opacity, is below half. Throws DataError when the picture is damaged, cut short before
// the end of its pixels, larger than 4096 × 4096, or fully transparent everywhere.
IdxArray parse_png(const Bytes& bytes, const std::string& name);

// The bytes of a PNG file with a picture [1, rows, columns], in grey: what parse_png reads back.
Bytes serialize_png(const IdxArray& picture);

}  // namespace handgrad
