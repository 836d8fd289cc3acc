// Products of small matrices, by libxsmm.
#include "handgrad/platform/small_products.h"

#ifdef HANDGRAD_XSMM

#include <libxsmm.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <type_traits>
#include <vector>

#include "handgrad/platform/processor.h"

namespace handgrad {

namespace {

// How far libxsmm's kernels gained time where they were measured, beside BLIS, and oneDNN for the larger ones.
struct Limits {
  std::int64_t most_multiplications;
  int most_k;
  std::int64_t most_transposed;  // multiplications for which a copy of aᵀ is worth its time
};

Limits limits_here() {
  const int target = libxsmm_get_target_archid();
  if (target < LIBXSMM_X86_AVX2 || !may_execute_what_it_writes()) return {0, 0, 0};  // it would crash
  if (target < LIBXSMM_X86_AVX512 || !is_intel_with_avx512()) return {1 << 21, 64, 0};
  return {1 << 21, 256, 1 << 18};
}

const Limits& limits() {
  static const Limits here = limits_here();
  return here;
}

template <typename Number>
bool is_small(const Product<Number>& product) {
  if (product.k > limits().most_k) return false;
  if (!product.trans_a) return product.multiplications() <= limits().most_multiplications;
  // The copy is worth its time where it is small, or many columns of b are multiplied with it.
  return product.multiplications() <= limits().most_transposed && (product.k <= 64 || product.n >= 64);
}

template <typename Number>
using Kernel = std::conditional_t<std::is_same_v<Number, float>, libxsmm_smmfunction, libxsmm_dmmfunction>;

// Null where libxsmm has none for the shape. Its own memory of kernels is not safe once a process has had 1024 threads.
template <typename Number>
Kernel<Number> new_kernel(const Product<Number>& product, int lda) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  const Number one = 1;
  const Number zero = 0;
  const int flags = product.trans_b ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
  const int prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
  const auto dispatch = [&](auto of_type) {
    return of_type(product.m, product.n, product.k, &lda, &product.ldb, &product.ldc, &one, &zero, &flags,
                   &prefetch);
  };
  if constexpr (std::is_same_v<Number, float>) {
    return dispatch(libxsmm_smmdispatch);
  } else {
    return dispatch(libxsmm_dmmdispatch);
  }
}

template <typename Number>
Kernel<Number> kernel_for(const Product<Number>& product, int lda) {
  static thread_local std::map<std::array<int, 7>, Kernel<Number>> kernels;
  const std::array<int, 7> shape = {
      product.m, product.n, product.k, lda, product.ldb, product.ldc, static_cast<int>(product.trans_b)};
  const auto known = kernels.find(shape);
  if (known != kernels.end()) return known->second;
  return kernels.emplace(shape, new_kernel(product, lda)).first->second;
}

// a [k,m] column by column as [m,k], in memory that the thread keeps.
template <typename Number>
const Number* transposed(const Number* a, int lda, int m, int k) {
  constexpr int block = 16;
  static thread_local std::vector<Number> copy;
  const auto size = static_cast<std::size_t>(m) * static_cast<std::size_t>(k);
  if (copy.size() < size) copy.resize(size);
  for (int first = 0; first < k; first += block) {
    const int end = std::min(first + block, k);
    for (std::int64_t row = 0; row < m; ++row) {
      for (std::int64_t i = first; i < end; ++i)
        copy[static_cast<std::size_t>(i * m + row)] = a[row * lda + i];
    }
  }
  return copy.data();
}

template <typename Number>
bool multiply(const Product<Number>& product) {
  if (!is_small(product)) return false;
  const Kernel<Number> kernel = kernel_for(product, product.trans_a ? product.m : product.lda);
  if (kernel == nullptr) return false;
  const Number* const a =
      product.trans_a ? transposed(product.a, product.lda, product.m, product.k) : product.a;
  kernel(a, product.b, product.c);
  return true;
}

}  // namespace

bool multiply_small(const Product<float>& product) {
  return multiply(product);
}

bool multiply_small(const Product<double>& product) {
  return multiply(product);
}

std::string small_products_library() {
  return limits().most_k > 0 ? "libxsmm" : "";
}

}  // namespace handgrad

#else

namespace handgrad {

bool multiply_small(const Product<float>& /*product*/) {
  return false;
}

bool multiply_small(const Product<double>& /*product*/) {
  return false;
}

std::string small_products_library() {
  return "";
}

}  // namespace handgrad

#endif
