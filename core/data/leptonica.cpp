#include "handgrad/data/leptonica.h"

#include <cstdint>

namespace handgrad {

// Leptonica's rows are filled up to whole words, whose bytes its macros find.
Owned<Pix> pix_of(const IdxArray& picture) {
  const auto rows = static_cast<int>(picture.shape[1]);
  const auto columns = static_cast<int>(picture.shape[2]);
  Owned<Pix> pix(pixCreate(columns, rows, 8));
  if (!pix) return pix;
  const std::uint8_t* pixel = picture.values.data();
  for (int y = 0; y < rows; ++y) {
    l_uint32* row = pixGetData(pix.get()) + std::int64_t{y} * pixGetWpl(pix.get());
    for (int x = 0; x < columns; ++x) SET_DATA_BYTE(row, x, *pixel++);
  }
  return pix;
}

IdxArray picture_of(Pix* pix) {
  const int rows = pixGetHeight(pix);
  const int columns = pixGetWidth(pix);
  IdxArray picture{{1, rows, columns}, {}};
  picture.values.reserve(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  for (int y = 0; y < rows; ++y) {
    const l_uint32* row = pixGetData(pix) + std::int64_t{y} * pixGetWpl(pix);
    for (int x = 0; x < columns; ++x) picture.values.push_back(GET_DATA_BYTE(row, x));
  }
  return picture;
}

}  // namespace handgrad
