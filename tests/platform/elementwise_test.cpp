// Operations on numbers one by one: those of LibTorch, however the numbers lie in memory.
#include "handgrad/platform/elementwise.h"

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "handgrad/platform/threads.h"
#include "platform/layouts.h"
#include "test.h"

using namespace handgrad;

namespace {

const double not_a_number = std::nan("");

void check_same(const Tensor& y, const Tensor& expected) {
  const double tolerance = y.scalar_type() == at::kDouble ? 1e-14 : 1e-6;
  CHECK(at::allclose(y.to(at::kDouble), expected.to(at::kDouble), tolerance, tolerance, true));
}

// `work` of x and of v, which is like x or a row for all of its rows, in all layouts; what it writes, `expected`.
void check_in_all_layouts(const Tensor& x, const Tensor& v, const Tensor& expected,
                          const std::function<void(const Tensor&, const Tensor&, const Tensor&)>& work) {
  const std::vector<Tensor> of_v =
      v.dim() == 2 ? layouts(v) : std::vector<Tensor>{v, at::stack({v, v}, 1).select(1, 0)};
  for (const Tensor& a : layouts(x)) {
    for (const Tensor& b : of_v) {
      for (const Tensor& y : layouts(at::full_like(x, not_a_number))) {
        work(y, a, b);
        check_same(y, expected);
      }
      const Tensor in_place = a.clone();
      work(in_place, in_place, b);
      check_same(in_place, expected);
    }
  }
}

}  // namespace

TEST_CASE("numbers one by one, by a loop or by LibTorch", "[platform]") {
  const auto type = GENERATE(at::kFloat, at::kDouble);
  const auto [n, features] =
      GENERATE(table<std::int64_t, std::int64_t>({{7, 5}, {1, 5}, {7, 1}, {3, 16}, {0, 5}, {3, 0}}));
  const bool one_row = GENERATE(false, true);
  CAPTURE(type, n, features, one_row);
  const Tensor x = at::randn({n, features}, type);
  const Tensor v = one_row ? at::randn({features}, type) : at::randn({n, features}, type);
  check_in_all_layouts(x, v, x - 0.25 * v,
                       [](const Tensor& y, const Tensor& a, const Tensor& b) { add(y, a, b, -0.25); });
  check_in_all_layouts(x, v, x + v, [](const Tensor& y, const Tensor& a, const Tensor& b) { add(y, a, b); });
  check_in_all_layouts(x, v, x * v, [](const Tensor& y, const Tensor& a, const Tensor& b) { mul(y, a, b); });
  check_in_all_layouts(x, v, v + 3 * x * v,
                       [](const Tensor& y, const Tensor& a, const Tensor& b) { addcmul(y, b, a, b, 3); });
  check_in_all_layouts(x, v, x / 8,
                       [](const Tensor& y, const Tensor& a, const Tensor& /*b*/) { scale(y, a, 0.125); });
  check_in_all_layouts(x.abs(), v, 1 / (x.abs() + 0.5).sqrt(),
                       [](const Tensor& y, const Tensor& a, const Tensor& /*b*/) { rsqrt(y, a, 0.5); });
}

TEST_CASE("numbers below a threshold, and NaN", "[platform]") {
  const auto type = GENERATE(at::kFloat, at::kDouble);
  const Tensor y =
      at::tensor({-1.0, 0.0, 2.0, not_a_number, 0.5, -0.5, not_a_number, 1e-30}, type).view({2, 4});
  const Tensor dy = at::tensor({1.0, 2.0, 3.0, 4.0, not_a_number, not_a_number, 7.0, 8.0}, type).view({2, 4});
  const Tensor clamped = at::clamp_min(y, 0);
  const Tensor passed = at::threshold_backward(dy, y, 0);
  check_in_all_layouts(y, dy, clamped,
                       [](const Tensor& out, const Tensor& a, const Tensor& /*b*/) { clamp_min(out, a, 0); });
  check_in_all_layouts(dy, y, passed, [](const Tensor& out, const Tensor& a, const Tensor& b) {
    threshold_backward(out, a, b, 0);
  });
}

TEST_CASE("threads share out many numbers", "[platform]") {
  const bool one_row = GENERATE(false, true);
  const Tensor x = at::randn({301, 999});
  const Tensor v = one_row ? at::randn({999}) : at::randn({301, 999});
  set_threads(3);
  REQUIRE(threads_for_numbers(x.numel()) == 3);
  check_in_all_layouts(x, v, v + 3 * x * v,
                       [](const Tensor& y, const Tensor& a, const Tensor& b) { addcmul(y, b, a, b, 3); });
  set_threads(1);
}

TEST_CASE("softmax of each row", "[platform]") {
  const auto type = GENERATE(at::kFloat, at::kDouble);
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor x = at::tensor({1.0, -2.0, 0.5, 1e4, 1e4 - 1, -1e4, -infinity, 0.0, 3.0, -1e4, -1e4, -1e4})
                       .view({4, 3})
                       .to(type);
  const Tensor apart = at::full_like(x, not_a_number);
  softmax(apart, x);
  check_same(apart, at::softmax(x, 1));
  const Tensor in_place = x.clone();
  softmax(in_place, in_place);
  check_same(in_place, at::softmax(x, 1));
  for (const double odd : {not_a_number, infinity}) {
    for (std::int64_t c = 0; c < 3; ++c) {
      Tensor faulty = x.clone();
      faulty[0][c] = odd;
      Tensor y = at::zeros_like(x);
      softmax(y, faulty);
      CHECK(at::isnan(y[0]).any().item<bool>());
      CHECK(at::isfinite(y[1]).all().item<bool>());
    }
  }
  Tensor none = at::empty({0, 3}, type);
  softmax(none, none);
  const Tensor of_networks = at::randn({4, 2, 3}, type);
  Tensor y = at::zeros_like(of_networks);
  softmax(y, of_networks);
  check_same(y, at::softmax(of_networks, 2));
}
