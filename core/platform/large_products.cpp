// Products of large matrices, by the oneDNN that comes with LibTorch.
#include "handgrad/platform/large_products.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include "handgrad/platform/blas.h"
#include "handgrad/platform/processor.h"

namespace handgrad {

namespace {

// oneDNN developer guide, Basic linear algebra functions: dnnl_sgemm. Matrices row by row; returns 0 when it has done it.
using Sgemm = int (*)(char trans_a, char trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                      const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta,
                      float* c, std::int64_t ldc);

// Measured beside BLIS and OpenBLAS on such a processor: from here on it takes 0.4 to 1.0 of the time; without AVX-512 as long.
constexpr std::int64_t least_multiplications = 1 << 19;

Sgemm find_sgemm() {
  if (!is_intel_with_avx512() || blas_library().name == "MKL" || !may_execute_what_it_writes())
    return nullptr;
  return reinterpret_cast<Sgemm>(dlsym(RTLD_DEFAULT, "dnnl_sgemm"));
}

Sgemm sgemm() {
  static const Sgemm found = find_sgemm();
  return found;
}

}  // namespace

// Column by column cᵀ = op(b)ᵀ op(a)ᵀ.
bool multiply_large(const Product<float>& p) {
  if (p.multiplications() < least_multiplications || sgemm() == nullptr) return false;
  // OpenMP would have a thread that nobody has told otherwise take all cores. LibTorch tells it at its first question.
  static thread_local const int one = at::get_num_threads();
  static_cast<void>(one);
  return sgemm()(p.trans_b ? 'T' : 'N', p.trans_a ? 'T' : 'N', p.n, p.m, p.k, 1, p.b, p.ldb, p.a, p.lda, 0,
                 p.c, p.ldc) == 0;
}

bool multiply_large(const Product<double>& /*product*/) {
  return false;  // oneDNN has none
}

std::string large_products_library() {
  return sgemm() == nullptr ? "" : "oneDNN";
}

}  // namespace handgrad
