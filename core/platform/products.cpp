// Products with matrices.
#include "handgrad/platform/products.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include "handgrad/platform/blas.h"
#include "handgrad/platform/large_products.h"
#include "handgrad/platform/processor.h"
#include "handgrad/platform/rows.h"
#include "handgrad/platform/small_products.h"

namespace handgrad {

namespace {

// Of a Fortran BLAS with 32-bit integers: matrices are column by column there.
template <typename Number>
using Gemm = void (*)(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k,
                      const Number* alpha, const Number* a, const int* lda, const Number* b, const int* ldb,
                      const Number* beta, Number* c, const int* ldc);
template <typename Number>
using Gemv = void (*)(const char* trans, const int* m, const int* n, const Number* alpha, const Number* a,
                      const int* lda, const Number* x, const int* incx, const Number* beta, Number* y,
                      const int* incy);
template <typename Number>
using Ger = void (*)(const int* m, const int* n, const Number* alpha, const Number* x, const int* incx,
                     const Number* y, const int* incy, Number* a, const int* lda);
template <typename Number>
struct Blas {
  Gemm<Number> gemm;
  Gemv<Number> gemv;
  Ger<Number> ger;
};

template <typename Number>
Blas<Number> find_blas() {
  constexpr bool is_float = std::is_same_v<Number, float>;
  void* const library = is_float ? blas_of_float32().handle : RTLD_DEFAULT;
  const auto find = [&](auto& function, const char* name) {
    const std::string symbol = (is_float ? "s" : "d") + std::string(name) + "_";
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, symbol.c_str()));
  };
  Blas<Number> found{};
  find(found.gemm, "gemm");
  find(found.gemv, "gemv");
  find(found.ger, "ger");
  return found;
}

// Null where there is none that others than LibTorch can call.
template <typename Number>
const Blas<Number>* blas() {
  static const Blas<Number> found = find_blas<Number>();
  static const bool complete = found.gemm != nullptr && found.gemv != nullptr && found.ger != nullptr;
  return complete ? &found : nullptr;
}

// Calls `work` with a number of y's type, if that is float or double and all are of it and of a CPU: whether that has done
// it. What does not fit together it leaves to LibTorch, which says so.
template <typename Work>
bool outside_libtorch(const Tensor& y, std::initializer_list<const Tensor*> operands, const Work& work) {
  const auto is_here = [&](const Tensor* x) { return x->is_cpu() && x->scalar_type() == y.scalar_type(); };
  if (!y.is_cpu() || y.numel() == 0 || !std::all_of(operands.begin(), operands.end(), is_here)) return false;
  if (y.scalar_type() == at::kFloat) return work(float{});
  if (y.scalar_type() == at::kDouble) return work(double{});
  return false;
}

// More are added up by LibTorch, whose sums of sums lose less to rounding.
constexpr std::int64_t most_rows = 1024;

template <typename Number>
constexpr std::array<Number, most_rows> ones = [] {
  std::array<Number, most_rows> all{};
  for (Number& one : all) one = 1;
  return all;
}();

constexpr std::int64_t largest_int = std::numeric_limits<int>::max();

// A matrix as BLAS takes it: its transpose column by column, which is the matrix row by row, or itself.
struct Operand {
  bool fits = false;
  bool by_columns = false;
  int step = 0;  // from one row to the next, or from one column
};

Operand operand(const Tensor& matrix) {
  const std::int64_t rows = matrix.size(0);
  const std::int64_t columns = matrix.size(1);
  const std::int64_t row_step = std::max(matrix.stride(0), columns);
  const std::int64_t column_step = std::max(matrix.stride(1), rows);
  if (matrix.stride(1) == 1 && (matrix.stride(0) >= columns || rows == 1) && row_step <= largest_int) {
    return {true, false, static_cast<int>(row_step)};
  }
  if (matrix.stride(0) == 1 && (matrix.stride(1) >= rows || columns == 1) && column_step <= largest_int) {
    return {true, true, static_cast<int>(column_step)};
  }
  return {};
}

// yᵀ = bᵀ aᵀ, column by column.
template <typename Number>
std::optional<Product<Number>> product(const Tensor& y, const Tensor& a, const Tensor& b) {
  const Operand of_y = operand(y);
  const Operand of_a = operand(a);
  const Operand of_b = operand(b);
  if (!of_y.fits || of_y.by_columns || !of_a.fits || !of_b.fits || a.numel() == 0) return std::nullopt;
  if (a.size(1) != b.size(0) || y.size(0) != a.size(0) || y.size(1) != b.size(1)) return std::nullopt;
  Product<Number> product;
  product.trans_a = of_b.by_columns;
  product.trans_b = of_a.by_columns;
  product.m = static_cast<int>(b.size(1));
  product.n = static_cast<int>(a.size(0));
  product.k = static_cast<int>(a.size(1));
  product.a = b.data_ptr<Number>();
  product.lda = of_b.step;
  product.b = a.data_ptr<Number>();
  product.ldb = of_a.step;
  product.c = y.data_ptr<Number>();
  product.ldc = of_y.step;
  return product;
}

template <typename Number>
bool multiply(const Tensor& y, const Tensor& a, const Tensor& b) {
  const std::optional<Product<Number>> p = product<Number>(y, a, b);
  if (!p) return false;
  if (multiply_small(*p) || multiply_large(*p)) return true;
  if (blas<Number>() == nullptr) return false;
  const Number one = 1;
  const Number zero = 0;
  blas<Number>()->gemm(p->trans_a ? "T" : "N", p->trans_b ? "T" : "N", &p->m, &p->n, &p->k, &one, p->a,
                       &p->lda, p->b, &p->ldb, &zero, p->c, &p->ldc);
  clear_wide_registers();
  return true;
}

// The rows x_n [N,…] as BLAS takes them.
struct BlasRows {
  bool fits = false;
  int rows = 0, columns = 0, step = 0;
};

BlasRows blas_rows(const Tensor& x) {
  const std::optional<Rows> rows = rows_of(x);
  if (!rows || rows->rows > most_rows || rows->step > largest_int) return {};
  return {true, static_cast<int>(rows->rows), static_cast<int>(rows->columns), static_cast<int>(rows->step)};
}

template <typename Number>
bool add_rows(const Tensor& sum, const Tensor& x, Number factor) {
  const Blas<Number>* const of = blas<Number>();
  const BlasRows rows = blas_rows(x);
  if (of == nullptr || !rows.fits || rows.rows == 0 || !sum.is_contiguous() || sum.numel() != rows.columns)
    return false;
  const int next = 1;
  const Number one = 1;
  auto* const y = sum.data_ptr<Number>();
  std::fill_n(y, rows.columns, Number{0});  // not by a factor of 0, which a BLAS may apply to a NaN
  of->gemv("N", &rows.columns, &rows.rows, &factor, x.data_ptr<Number>(), &rows.step, ones<Number>.data(),
           &next, &one, y, &next);
  clear_wide_registers();
  return true;
}

template <typename Number>
bool add_to_rows(const Tensor& y, const Tensor& b) {
  const Blas<Number>* const of = blas<Number>();
  const BlasRows rows = blas_rows(y);
  if (of == nullptr || !rows.fits || !b.is_contiguous() || b.numel() != rows.columns) return false;
  const int next = 1;
  const Number one = 1;
  of->ger(&rows.columns, &rows.rows, &one, b.data_ptr<Number>(), &next, ones<Number>.data(), &next,
          y.data_ptr<Number>(), &rows.step);
  clear_wide_registers();
  return true;
}

}  // namespace

bool has_blas() {
  return blas<float>() != nullptr;
}

std::string product_libraries() {
  std::string libraries = blas_of_float32().name;
  const std::string large = large_products_library();
  const std::string small = small_products_library();
  if (!large.empty()) libraries += (small.empty() ? " and " : ", ") + large;
  if (!small.empty()) libraries += " and " + small;
  return libraries;
}

void multiply(const Tensor& y, const Tensor& a, const Tensor& b) {
  if (a.dim() == 2 &&
      outside_libtorch(y, {&a, &b}, [&](auto number) { return multiply<decltype(number)>(y, a, b); }))
    return;
  Tensor out = y;
  if (a.dim() == 3) {
    at::bmm_out(out, a, b);
  } else {
    at::mm_out(out, a, b);
  }
}

void add_rows(const Tensor& sum, const Tensor& x, double factor) {
  const auto add = [&](auto number) {
    return add_rows<decltype(number)>(sum, x, static_cast<decltype(number)>(factor));
  };
  if (outside_libtorch(sum, {&x}, add)) return;
  Tensor out = sum;
  at::sum_out(out, x, 0);
  if (factor != 1) out.mul_(constant(factor, out));
}

void add_to_rows(const Tensor& y, const Tensor& b) {
  if (!outside_libtorch(y, {&b}, [&](auto number) { return add_to_rows<decltype(number)>(y, b); })) y.add_(b);
}

}  // namespace handgrad
