// Leptonica's pictures as objects that free themselves. The one header that needs Leptonica's own. Free of
// LibTorch.
#pragma once

#include <leptonica/allheaders.h>

#include <memory>

#include "handgrad/data/idx.h"

namespace handgrad {

struct FreeLeptonica {
  void operator()(Pix* pix) const { pixDestroy(&pix); }
  void operator()(Pixa* pictures) const { pixaDestroy(&pictures); }
  void operator()(Box* box) const { boxDestroy(&box); }
  void operator()(Boxa* boxes) const { boxaDestroy(&boxes); }
  void operator()(Numa* numbers) const { numaDestroy(&numbers); }
};

template <typename Kind>
using Owned = std::unique_ptr<Kind, FreeLeptonica>;

// Eight bits a pixel, of a picture [1, rows, columns]; nothing where Leptonica has no memory for it.
Owned<Pix> pix_of(const IdxArray& picture);

// The picture [1, rows, columns] of eight bits a pixel.
IdxArray picture_of(Pix* pix);

}  // namespace handgrad
