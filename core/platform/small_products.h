// Products of small matrices, by libxsmm, which compiles machine code for their shape while the program runs.
#pragma once

#include <string>

#include "handgrad/platform/product.h"

namespace handgrad {

// Does the product if it is one that is done faster so than by a BLAS: whether it has. In a process that depends on the shape
// and the layout alone, so that equal products have equal bits.
bool multiply_small(const Product<float>& product);
bool multiply_small(const Product<double>& product);

// "libxsmm"; empty in a build without it, on a processor without AVX2, and where no code may be made.
std::string small_products_library();

}  // namespace handgrad
