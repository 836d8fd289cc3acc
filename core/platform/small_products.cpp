// Products of small matrices, by libxsmm.
#include "handgrad/platform/small_products.h"

#ifdef HANDGRAD_XSMM

#include <libxsmm.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <type_traits>
#include <vector>

namespace handgrad {

namespace {

// How far libxsmm's kernels gained time where they were measured, beside BLIS and its kernels for AVX2 and AVX-512.
struct Limits {
  std::int64_t most_multiplications;
  int most_k;
  bool transposes;  // whether a copy of aᵀ and a product are sooner done than the product as it stands
};

// libxsmm 1.17 crashes where a process may not execute what it has written (systemd's MemoryDenyWriteExecute, SELinux).
bool may_execute_what_it_writes() {
  const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const page =
      mmap(nullptr, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  const bool may = mprotect(page, size, PROT_READ | PROT_EXEC) == 0;
  munmap(page, size);
  return may;
}

Limits limits_here() {
  if (!may_execute_what_it_writes()) return {0, 0, false};
  const int target = libxsmm_get_target_archid();
  if (target < LIBXSMM_X86_AVX2) return {0, 0, false};
  // Others than Intel's have half the arithmetic in AVX-512, which BLIS's kernels for large products use to the full.
  if (target < LIBXSMM_X86_AVX512 || !__builtin_cpu_is("intel")) return {1 << 21, 64, false};
  return {1 << 23, 1024, true};
}

const Limits& limits() {
  static const Limits here = limits_here();
  return here;
}

// The copy is worth its time where it is small, or many columns of b are multiplied with it.
template <typename Number>
bool is_worth_a_copy(const Product<Number>& product) {
  return limits().transposes && (product.k <= 128 || product.n >= 64);
}

template <typename Number>
bool is_small(const Product<Number>& product) {
  return product.k <= limits().most_k &&
         std::int64_t{product.m} * product.n * product.k <= limits().most_multiplications &&
         (!product.trans_a || is_worth_a_copy(product));
}

// Null where libxsmm has no kernel for the shape.
template <typename Number>
auto kernel_for(const Product<Number>& product, int lda) {
  const Number one = 1;
  const Number zero = 0;
  const int flags = product.trans_b ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
  const auto dispatch = [&](auto of_type) {
    return of_type(product.m, product.n, product.k, &lda, &product.ldb, &product.ldc, &one, &zero, &flags,
                   nullptr);
  };
  if constexpr (std::is_same_v<Number, float>) {
    return dispatch(libxsmm_smmdispatch);
  } else {
    return dispatch(libxsmm_dmmdispatch);
  }
}

template <typename Number>
bool multiply(const Product<Number>& product) {
  if (!is_small(product)) return false;
  const auto kernel = kernel_for(product, product.trans_a ? product.m : product.lda);
  if (kernel == nullptr) return false;
  const Number* a = product.a;
  if (product.trans_a) {
    static thread_local std::vector<Number> transposed;
    transposed.resize(static_cast<std::size_t>(product.m) * static_cast<std::size_t>(product.k));
    libxsmm_otrans(transposed.data(), a, sizeof(Number), product.k, product.m, product.lda, product.m);
    a = transposed.data();
  }
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
