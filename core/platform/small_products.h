// Products of small matrices, by libxsmm, which compiles machine code for their shape while the program runs.
#pragma once

#include <string>

namespace handgrad {

// c = op(a) op(b), matrices column by column as a BLAS takes them: op(a) [m,k], op(b) [k,n], c [m,n]; op transposes where
// trans_ says so. The leading dimensions lda, ldb and ldc lead from one column to the next.
template <typename Number>
struct Product {
  bool trans_a = false, trans_b = false;
  int m = 0, n = 0, k = 0;
  const Number* a = nullptr;
  int lda = 0;
  const Number* b = nullptr;
  int ldb = 0;
  Number* c = nullptr;
  int ldc = 0;
};

// Does the product if it is one that is done faster so than by a BLAS: whether it has. In a process that depends on the shape
// and the layout alone, so that equal products have equal bits.
bool multiply_small(const Product<float>& product);
bool multiply_small(const Product<double>& product);

// "libxsmm"; empty in a build without it, on a processor without AVX2, and where no code may be made.
std::string small_products_library();

}  // namespace handgrad
