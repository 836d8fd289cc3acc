// Ridders' method: central differences at ever shorter steps, extrapolated to the step 0.
#include "handgrad/check/finite_differences.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace handgrad {

namespace {

// Steps are 1 halved so often.
constexpr int fewest_halvings = 6;
constexpr int most_halvings = 40;
constexpr double unit_roundoff = std::numeric_limits<double>::epsilon() / 2;
constexpr double safety = 10;
// Rounding doubles with each halved step: once it is so far above the best, no shorter step is better.
constexpr double hopeless = 64;

// Of each function the slope with the smallest bound. Rounding doubles from one step to the next, so that
// what the shorter steps show of it holds for the longer ones too: a gap that is small by chance is not
// believed.
std::optional<Slopes> best_of(const std::vector<Slopes>& slopes) {
  Slopes best = slopes.back();
  Tensor shorter = best.bound;
  for (auto longer = slopes.rbegin() + 1; longer != slopes.rend(); ++longer) {
    shorter = at::maximum(longer->bound, shorter / 2);
    const Tensor better = shorter < best.bound;
    best.value = at::where(better, longer->value, best.value);
    best.bound = at::where(better, shorter, best.bound);
  }
  if (!at::isfinite(best.bound).all().item<bool>()) return std::nullopt;
  return best;
}

}  // namespace

FiniteDifferences::FiniteDifferences(const Tensor& input, Differentiable function, double wanted)
    : input_(input),
      start_(input.clone()),
      function_(std::move(function)),
      wanted_(wanted),
      first_halving_(fewest_halvings) {
  const Differentiable::Value here = function_.evaluate();
  sides_ = here.sides;
  rounding_ = unit_roundoff * (function_.weights * here.y).square().sum(0).sqrt();
}

std::optional<Tensor> FiniteDifferences::central_difference(const Tensor& direction, double step) {
  const auto evaluate = [&](double moved) {
    input_.add_(direction, moved);
    Differentiable::Value value = function_.evaluate();
    input_.copy_(start_);
    return value;
  };
  const auto crossed = [&](const Differentiable::Value& value) {
    return sides_.defined() && !at::equal(value.sides, sides_);
  };
  const Differentiable::Value above = evaluate(step);
  if (crossed(above)) return std::nullopt;
  const Tensor y_above = above.y.clone();
  const Differentiable::Value below = evaluate(-step);
  if (crossed(below)) return std::nullopt;
  return (y_above - below.y).div_(2 * step);
}

std::optional<Slopes> FiniteDifferences::along(const Tensor& direction) {
  const Tensor& weights = function_.weights;
  std::vector<Slopes> slopes;  // at ever shorter steps
  double smallest = std::numeric_limits<double>::infinity();
  Tensor second_order;  // of the step before: its error falls with the step's square
  Tensor fourth_order;  // and its fourth power
  int first = first_halving_;
  for (int halvings = first; halvings <= most_halvings; ++halvings) {
    const double step = std::ldexp(1.0, -halvings);
    const std::optional<Tensor> difference = central_difference(direction, step);
    if (!difference) {
      slopes.clear();
      second_order = fourth_order = Tensor();
      first = halvings + 1;
      continue;
    }
    Tensor extrapolated;
    if (second_order.defined()) extrapolated = *difference + (*difference - second_order) / 3;
    if (fourth_order.defined()) {
      const Tensor gap = extrapolated - fourth_order;
      const Tensor gaps = weights * gap;
      slopes.push_back({(weights * (extrapolated + gap / 15)).sum(0),
                        safety * (gaps.sum(0).abs() + gaps.square().sum(0).sqrt() + rounding_ / step)});
      const auto bound = slopes.back().bound.max().item<double>();
      if (bound <= wanted_ || bound > hopeless * smallest) break;
      smallest = std::min(smallest, bound);
    }
    second_order = *difference;
    fourth_order = extrapolated;
  }
  if (slopes.empty()) return std::nullopt;
  first_halving_ = std::max(fewest_halvings, first - 1);  // other lines are much like this one
  return best_of(slopes);
}

}  // namespace handgrad
