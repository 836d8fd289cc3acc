// Operations on the numbers of tensors one by one.
#include "handgrad/platform/elementwise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "handgrad/platform/rows.h"
#include "handgrad/platform/threads.h"

namespace handgrad {

namespace {

// What is done to numbers of one type, from their first on; a step of 0 has the same row every time.
template <typename Number, typename Function, std::size_t count, std::size_t... i>
void loop(const Rows& of_y, Number* y, const std::array<const Number*, count>& x,
          const std::array<std::int64_t, count>& steps, const Function& function,
          std::index_sequence<i...> /*operands*/) {
  for (std::int64_t row = 0; row < of_y.rows; ++row) {
    Number* const out = y + row * of_y.step;
    const std::array<const Number*, count> in = {x[i] + row * steps[i]...};
    // An operand is y itself or apart from it.
#ifndef __clang__
#pragma GCC ivdep
#endif
    for (std::int64_t column = 0; column < of_y.columns; ++column) out[column] = function(in[i][column]...);
  }
}

template <typename Number, typename Function, std::size_t count>
void loop(const Rows& of_y, const Tensor& y, const std::array<const Tensor*, count>& operands,
          const std::array<std::int64_t, count>& steps, const Function& function) {
  const bool follow_each_other =
      of_y.step == of_y.columns &&
      std::all_of(steps.begin(), steps.end(), [&](auto step) { return step == of_y.columns; });
  const auto rows = [&](std::int64_t begin, std::int64_t end) {
    std::array<const Number*, count> x{};
    for (std::size_t i = 0; i < count; ++i)
      x[i] = operands[i]->template data_ptr<Number>() + begin * steps[i];
    Rows part = of_y;
    part.rows = end - begin;
    if (follow_each_other) part = {1, part.rows * part.columns, 0};
    loop(part, y.data_ptr<Number>() + begin * of_y.step, x, steps, function,
         std::make_index_sequence<count>());
  };
  const int useful = threads_for_numbers(y.numel());
  if (useful > 1) return share_out_ranges(of_y.rows, (of_y.rows + useful - 1) / useful, rows);
  rows(0, of_y.rows);
}

// From one row of an operand to the next; none where it does not go with y.
std::optional<std::int64_t> step_of(const Tensor& operand, const Tensor& y, const Rows& of_y) {
  if (!operand.is_cpu() || operand.scalar_type() != y.scalar_type()) return std::nullopt;
  if (operand.dim() == y.dim()) {
    const std::optional<Rows> rows = rows_of(operand);
    if (!rows || rows->rows != of_y.rows || rows->columns != of_y.columns) return std::nullopt;
    return rows->step;
  }
  if (!operand.is_contiguous() || operand.numel() != of_y.columns) return std::nullopt;
  return 0;
}

// y = function(x…), number by number: whether that was done. What does not fit together it leaves to LibTorch.
template <typename Function, typename... Tensors>
bool by_loop(const Tensor& y, const Function& function, const Tensors&... x) {
  constexpr std::size_t count = sizeof...(x);
  const bool is_float = y.scalar_type() == at::kFloat;
  if (!y.is_cpu() || (!is_float && y.scalar_type() != at::kDouble) || y.dim() == 0) return false;
  const std::optional<Rows> of_y = rows_of(y);
  if (!of_y) return false;
  const std::array<const Tensor*, count> operands = {&x...};
  std::array<std::int64_t, count> steps{};
  for (std::size_t i = 0; i < count; ++i) {
    const std::optional<std::int64_t> step = step_of(*operands[i], y, *of_y);
    if (!step) return false;
    steps[i] = *step;
  }
  if (y.numel() == 0) return true;
  if (is_float) {
    loop<float>(*of_y, y, operands, steps, function);
  } else {
    loop<double>(*of_y, y, operands, steps, function);
  }
  return true;
}

// A number as that of the type with which it is reckoned.
template <typename Number>
Number as(double value, Number /*like*/) {
  return static_cast<Number>(value);
}

template <typename Number>
void softmax(Number* y, const Number* x, std::int64_t rows, std::int64_t classes) {
  for (std::int64_t row = 0; row < rows; ++row, x += classes, y += classes) {
    const Number largest = *std::max_element(x, x + classes);
    Number sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += y[c] = std::exp(x[c] - largest);
    for (std::int64_t c = 0; c < classes; ++c) y[c] /= sum;
  }
}

}  // namespace

void add(const Tensor& y, const Tensor& a, const Tensor& b, double factor) {
  const auto one = [factor](auto a_i, auto b_i) { return a_i + as(factor, b_i) * b_i; };
  if (by_loop(y, one, a, b)) return;
  Tensor out = y;
  at::add_out(out, a, b, factor);
}

void mul(const Tensor& y, const Tensor& a, const Tensor& b) {
  if (by_loop(
          y, [](auto a_i, auto b_i) { return a_i * b_i; }, a, b))
    return;
  Tensor out = y;
  at::mul_out(out, a, b);
}

void scale(const Tensor& y, const Tensor& a, double factor) {
  if (by_loop(
          y, [factor](auto a_i) { return as(factor, a_i) * a_i; }, a))
    return;
  Tensor out = y;
  at::mul_out(out, a, constant(factor, a));
}

void addcmul(const Tensor& y, const Tensor& a, const Tensor& b, const Tensor& c, double factor) {
  const auto one = [factor](auto a_i, auto b_i, auto c_i) { return a_i + as(factor, b_i) * b_i * c_i; };
  if (by_loop(y, one, a, b, c)) return;
  Tensor out = y;
  at::addcmul_out(out, a, b, c, factor);
}

void rsqrt(const Tensor& y, const Tensor& a, double eps) {
  if (by_loop(
          y, [eps](auto a_i) { return 1 / std::sqrt(a_i + as(eps, a_i)); }, a))
    return;
  Tensor out = y;
  at::add_out(out, a, constant(eps, a)).rsqrt_();
}

void clamp_min(const Tensor& y, const Tensor& a, double least) {
  if (by_loop(
          y, [least](auto a_i) { return a_i < as(least, a_i) ? as(least, a_i) : a_i; }, a))
    return;
  Tensor out = y;
  at::clamp_min_out(out, a, least);
}

void threshold_backward(const Tensor& dx, const Tensor& dy, const Tensor& y, double threshold) {
  const auto one = [threshold](auto dy_i, auto y_i) {
    return y_i <= as(threshold, y_i) ? as(0, dy_i) : dy_i;
  };
  if (by_loop(dx, one, dy, y)) return;
  Tensor out = dx;
  at::threshold_backward_out(out, dy, y, threshold);
}

void softmax(const Tensor& y, const Tensor& x) {
  const bool is_float = y.scalar_type() == at::kFloat;
  const bool is_plain = y.is_cpu() && y.is_contiguous() && x.is_contiguous() && x.is_cpu() &&
                        y.sizes() == x.sizes() && x.scalar_type() == y.scalar_type() && y.numel() > 0;
  if (is_plain && (is_float || y.scalar_type() == at::kDouble)) {
    const std::int64_t classes = y.size(-1);
    const std::int64_t rows = y.numel() / classes;
    return is_float ? softmax(y.data_ptr<float>(), x.data_ptr<float>(), rows, classes)
                    : softmax(y.data_ptr<double>(), x.data_ptr<double>(), rows, classes);
  }
  Tensor out = y;
  at::_softmax_out(out, x, -1, false);
}

}  // namespace handgrad
