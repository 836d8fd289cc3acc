// Products of large matrices, by the oneDNN that comes with LibTorch.
#pragma once

#include <string>

#include "handgrad/platform/product.h"

namespace handgrad {

// Does the product if it is one that is done faster so than by a BLAS: whether it has. In a process that depends on the shape
// alone, so that equal products have equal bits.
bool multiply_large(const Product<float>& product);
bool multiply_large(const Product<double>& product);

// "oneDNN"; empty where it is not found, or gains nothing: on other processors than Intel's with AVX-512, beside MKL, and where no
// code may be made.
std::string large_products_library();

}  // namespace handgrad
