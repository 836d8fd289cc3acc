// Picture files as grey pixels, through Leptonica: PNG, JPEG, TIFF, BMP, PNM, and WebP where Leptonica has it.
// Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>

#include "handgrad/data/idx.h"

namespace handgrad {

constexpr std::int64_t most_pixels = 40'000'000;  // of a picture: more than most cameras take

// How many bytes is_picture needs of the beginning of a file.
constexpr std::size_t picture_signature_size = 12;

// Whether the bytes begin as a picture that parse_picture reads.
bool is_picture(const Bytes& bytes);

// The picture, or the first of several in a TIFF file, as [1, rows, columns], 0 black to 255 white. Colour is
// weighted to grey, 16 bits become 8; a JPEG is turned as its camera noted (Exif). Transparency shows white where
// the ink is dark, else black: it is dark where the mean grey of the pixels, each weighted by its opacity, is
// below half. A single colour that a PNG calls transparent stays a colour; in grey PNG, Leptonica loses such a
// picture to black. Throws DataError when the bytes are no picture, damaged or cut short, when it has more than
// most_pixels, which its header says, or when it is fully transparent everywhere.
IdxArray parse_picture(const Bytes& bytes, const std::string& name);

// The bytes of a PNG file with a picture [1, rows, columns], in grey: what parse_picture reads back.
Bytes serialize_png(const IdxArray& picture);

}  // namespace handgrad
