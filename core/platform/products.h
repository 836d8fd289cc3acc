// Products with matrices, and sums, by libxsmm, oneDNN or the BLAS itself where that may be: through LibTorch the call of a small one
// takes as long as its arithmetic.
#pragma once

#include <string>

#include "handgrad/base/tensor.h"

namespace handgrad {

// Whether there is a BLAS that others than LibTorch can call.
bool has_blas();

// What does products on a CPU, and decides how they are rounded: `OpenBLAS, oneDNN and libxsmm`.
std::string product_libraries();

// y = a b. y [N,M], a [N,K], b [K,M]; or all with a leading axis [R] for R products at once. One kind of number, one
// device; y is none of the others.
void multiply(const Tensor& y, const Tensor& a, const Tensor& b);

// sum = factor Σ_n x_n. x [N,…], sum […].
void add_rows(const Tensor& sum, const Tensor& x, double factor = 1);

// y_n += b, for every n. y [N,…], b […].
void add_to_rows(const Tensor& y, const Tensor& b);

}  // namespace handgrad
