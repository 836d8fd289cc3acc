// Claims against autograd and finite differences.
#include "handgrad/check/gradcheck_judge.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

namespace handgrad {

namespace {

// Of a gradient's norm: a fault of this size must be seen, or the gradient counts as undecided.
constexpr double resolution = 1e-3;
// Of finite differences, in units of the gradient: what is always allowed, and what their bound should be.
constexpr double difference_tolerance = 1e-7;
constexpr double difference_wanted = 1e-8;
// What rounding may do to a gradient of few images, in units of its terms: 2¹² and 2⁷ unit roundoffs. In
// float64 the reference is as inexact as what it is compared with.
constexpr double float64_rounding = 0x1p-41;
constexpr double float32_rounding = 0x1p-17;
constexpr double few_images = 512;

constexpr int directions_per_tensor = 4;
// A tensor with at most so many elements in each network is also checked element by element.
constexpr std::int64_t most_single_elements = 64;

// 0 only where there is no difference at all; NaN and infinity stay what they are.
double over(double difference, double scale) {
  if (difference == 0) return 0;
  return difference / scale;
}

double cosine(const Tensor& a, const Tensor& b) {
  const double product = norm_of(a) * norm_of(b);
  if (product == 0) return norm_of(a) == norm_of(b) ? 1 : 0;
  return (a.flatten() * b.flatten()).sum().item<double>() / product;
}

// NaN where one of them is.
double larger(double a, double b) {
  return std::isnan(a) || a > b ? a : b;
}

}  // namespace

double norm_of(const Tensor& tensor) {
  return tensor.to(at::kCPU, at::kDouble).norm().item<double>();
}

Tensor on_cpu_as_double(const Tensor& tensor) {
  return tensor.detach().to(at::kCPU, at::kDouble).contiguous();
}

Judge::Judge(const GradcheckOptions& options)
    : options_(options),
      generator_(at::detail::createCPUGenerator(options.seed)),
      // Rounding errors of sums over the images grow with the root of their number.
      rounding_((options.dtype == at::kDouble ? float64_rounding : float32_rounding) *
                std::sqrt(1 + static_cast<double>(options.batch_size) / few_images)) {}

Tensor Judge::random(at::IntArrayRef shape) {
  return at::randn(shape, generator_, at::TensorOptions().dtype(at::kDouble));
}

Tensor Judge::random_input(at::IntArrayRef shape) {
  return on_cpu_as_double(random(shape).to(options_.dtype));
}

Tensor Judge::random_labels() {
  return at::randint(0, options_.architecture.classes, {options_.batch_size}, generator_,
                     at::TensorOptions().dtype(at::kLong));
}

Tensor Judge::one_hot_rows(const Tensor& labels) const {
  return at::one_hot(labels, options_.architecture.classes).to(at::kDouble).unsqueeze(1);
}

Tensor Judge::checked(const Tensor& value) const {
  return value.to(options_.device, options_.dtype);
}

Tensor Judge::output(const Tensor& like) const {
  return at::full(like.sizes(), std::nan(""), at::TensorOptions(options_.device).dtype(options_.dtype));
}

Judge::Measured Judge::measure(const Claim& claim, const Tensor& gradient, const Differentiable& function,
                               double wanted) {
  const std::int64_t functions = function.weights.size(1);
  const Tensor rows = gradient.view({functions, -1});
  FiniteDifferences differences(claim.input, function, wanted);
  Measured measured;
  const auto along = [&](const Tensor& direction) {  // each row of length 1
    measured.points += functions;
    const std::optional<Slopes> slopes = differences.along(direction.view_as(claim.input));
    if (!slopes) {
      measured.skipped += functions;
      return;
    }
    const Tensor errors = (slopes->value - (rows * direction).sum(1)).abs();
    for (std::int64_t k = 0; k < functions; ++k) {
      measured.error = larger(measured.error, errors[k].item<double>());
      measured.bound = larger(measured.bound, slopes->bound[k].item<double>());
    }
  };
  for (int i = 0; i < directions_per_tensor; ++i) {
    const Tensor direction = random(rows.sizes());
    along(direction / direction.norm(2, 1, true));
  }
  const std::int64_t elements = rows.size(1);
  for (std::int64_t i = 0; i < elements && elements <= most_single_elements; ++i) {
    Tensor direction = at::zeros_like(rows);
    direction.select(1, i).fill_(1);
    along(direction);
  }
  return measured;
}

void Judge::judge(const Claim& claim, const Differentiable& function) {
  const Tensor gradient = on_cpu_as_double(claim.gradient);
  const double rounding = rounding_ * claim.terms;
  const bool visible = rounding < resolution * claim.size;
  const double unit = visible ? claim.size : claim.terms;
  // Slopes are compared with the root mean square of the gradient's elements.
  const double root = std::sqrt(static_cast<double>(gradient.numel()));
  const Measured measured = measure(claim, gradient, function, difference_wanted * unit / root);
  const double resolved = std::max(difference_tolerance * unit, measured.bound * root);
  // Of the gradient's own rounding an element may have all: this, in these units, where elements are looked
  // at. Along a random direction of a large tensor there is less.
  const double of_gradient = rounding * std::min(root, std::sqrt(static_cast<double>(most_single_elements)));

  GradientCheck check;
  check.pair = claim.pair;
  check.tensor = claim.tensor;
  check.shape = claim.input.sizes().vec();
  check.autograd_error = over(norm_of(gradient - claim.expected), unit);
  check.autograd_tolerance = over(rounding, unit);
  if (measured.points > measured.skipped) check.finite_difference_error = over(measured.error * root, unit);
  check.finite_difference_tolerance = over(std::max(resolved, of_gradient), unit);
  check.points = measured.points;
  check.skipped = measured.skipped;
  if (!claim.vanishes) check.cosine = cosine(gradient, claim.expected);
  check.decidable = visible && measured.skipped == 0 && resolved < resolution * claim.size;
  report_.checks.push_back(check);
}

void Judge::judge_zero(const std::string& pair, const std::string& what, at::IntArrayRef shape,
                       double difference, double size, double terms) {
  const double rounding = rounding_ * terms;
  GradientCheck check;
  check.pair = pair;
  check.tensor = what;
  check.shape = shape.vec();
  check.decidable = rounding < resolution * size;
  const double unit = check.decidable ? size : terms;
  check.autograd_error = over(difference, unit);
  check.autograd_tolerance = over(rounding, unit);
  report_.checks.push_back(check);
}

}  // namespace handgrad
