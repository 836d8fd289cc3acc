// The IDX format of the MNIST files: a magic number, the dimensions, then the values (LeCun, Cortes and
// Burges, "The MNIST database of handwritten digits"). Only unsigned bytes, the type that image sets use.
// Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "handgrad/files/file.h"

namespace handgrad {

constexpr std::int64_t most_rows_or_columns = 4096;  // of an image

struct IdxArray {
  std::vector<std::int64_t> shape;  // [count] for labels, [count, rows, columns] for images
  Bytes values;                     // row-major, product of `shape` entries
};

// Reads an array from the bytes of an IDX file. `name` is what messages call it.
// Throws DataError when the bytes are not a whole, well-formed IDX array of unsigned bytes with 1 to 3
// dimensions, none of them 0, all but the first at most 4096, and at most 2^32 values.
IdxArray parse_idx(Bytes bytes, const std::string& name);

// The bytes of an IDX file that holds `array`: the inverse of parse_idx; and those before the values.
// Throw DataError when parse_idx would not take them back.
Bytes serialize_idx(const IdxArray& array);
Bytes header_of(const IdxArray& array);

}  // namespace handgrad
