// A product of two matrices, as the libraries that do it are told of it.
#pragma once

#include <cstdint>

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

  std::int64_t multiplications() const { return std::int64_t{m} * n * k; }
};

}  // namespace handgrad
