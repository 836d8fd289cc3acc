// Products with matrices: those of LibTorch, however the numbers lie in memory.
#include "handgrad/platform/products.h"

#include <cmath>
#include <limits>
#include <vector>

#include "handgrad/platform/large_products.h"
#include "handgrad/platform/small_products.h"
#include "platform/layouts.h"
#include "relative_error.h"
#include "test.h"

using namespace handgrad;

TEST_CASE("a product of matrices, by libxsmm, oneDNN, the BLAS or LibTorch", "[platform]") {
  const auto type = GENERATE(at::kFloat, at::kDouble);
  const auto [n, k, m] =
      GENERATE(table<std::int64_t, std::int64_t, std::int64_t>({{5, 7, 3},
                                                                {1, 6, 4},
                                                                {4, 1, 6},
                                                                {4, 6, 1},
                                                                {1, 1, 1},
                                                                {3, 0, 2},
                                                                {0, 3, 2},
                                                                {33, 65, 17},
                                                                {32, 784, 20},
                                                                {65, 200, 9},
                                                                {203, 207, 211}}));  // the last is large
  CAPTURE(type, n, k, m);
  const Tensor a = at::randn({n, k}, type);
  const Tensor b = at::randn({k, m}, type);
  const Tensor expected = at::matmul(a.to(at::kDouble), b.to(at::kDouble));
  const double tolerance = (type == at::kDouble ? 1e-13 : 1e-5) * (k > 100 ? 10 : 1);
  for (const Tensor& left : layouts(a)) {
    for (const Tensor& right : layouts(b)) {
      for (const Tensor& y : layouts(at::full({n, m}, std::nan(""), type))) {
        multiply(y, left, right);
        CHECK(at::allclose(y.to(at::kDouble), expected, tolerance, tolerance));
      }
    }
  }
}

namespace {

// dx = dy W, column by column.
Product<float> dx_of(const Tensor& dx, const Tensor& dy, const Tensor& weight) {
  Product<float> product;
  product.m = static_cast<int>(weight.size(1));
  product.n = static_cast<int>(dy.size(0));
  product.k = static_cast<int>(weight.size(0));
  product.a = weight.data_ptr<float>();
  product.lda = product.m;
  product.b = dy.data_ptr<float>();
  product.ldb = product.k;
  product.c = dx.data_ptr<float>();
  product.ldc = product.m;
  return product;
}

}  // namespace

TEST_CASE("small and large products are those of the BLAS, to rounding, and the same every time",
          "[platform]") {
  const auto check = [](std::int64_t units, const auto& multiply, bool is_here) {
    const Tensor weight = at::randn({units, 2 * units});
    const Tensor dy = at::randn({units, units});
    const Tensor dx = at::full({units, 2 * units}, std::nan(""));
    const Product<float> product = dx_of(dx, dy, weight);
    REQUIRE(multiply(product) == is_here);
    if (!is_here) return;
    CHECK(at::allclose(dx, at::mm(dy, weight), 1e-4, 1e-4));
    const Tensor first = dx.clone();
    REQUIRE(multiply(product));
    CHECK(at::equal(dx, first));
  };
  const auto small = [](const Product<float>& product) { return multiply_small(product); };
  const auto large = [](const Product<float>& product) { return multiply_large(product); };
  check(7, small, !small_products_library().empty());
  check(200, large, !large_products_library().empty());
  // The others are left to the BLAS, before anything is read.
  const Tensor none = at::empty({1, 1});
  Product<float> product = dx_of(none, none, none);
  CHECK_FALSE(multiply_large(product));
  product.k = 1 << 24;
  CHECK_FALSE(multiply_small(product));
}

TEST_CASE("several products at once", "[platform]") {
  const Tensor a = at::randn({3, 4, 5}, at::kDouble);
  const Tensor b = at::randn({3, 5, 2}, at::kDouble);
  const Tensor y = at::full({3, 4, 2}, std::nan(""), at::kDouble);
  multiply(y, a, b);
  CHECK(at::allclose(y, at::matmul(a, b), 1e-13, 1e-13));
}

TEST_CASE("a sum over the rows, by the BLAS or by LibTorch", "[platform]") {
  const auto type = GENERATE(at::kFloat, at::kDouble);
  const auto [n, features] =
      GENERATE(table<std::int64_t, std::int64_t>({{7, 5}, {1, 5}, {7, 1}, {0, 5}, {1024, 3}, {1025, 3}}));
  const double factor = GENERATE(1.0, -0.25);
  CAPTURE(type, n, features, factor);
  const Tensor x = at::randn({n, features}, type);
  const Tensor expected = factor * x.to(at::kDouble).sum(0);
  const double tolerance = type == at::kDouble ? 1e-12 : 1e-4;
  for (const Tensor& rows : layouts(x)) {
    for (const Tensor& sum : layouts(at::full({1, features}, std::nan(""), type))) {
      add_rows(sum[0], rows, factor);
      CHECK(at::allclose(sum[0].to(at::kDouble), expected, tolerance, tolerance));
    }
  }
  const Tensor of_networks = at::full({features, 2}, std::nan(""), type);
  add_rows(of_networks, at::stack({x, -x}, -1), factor);
  CHECK(
      at::allclose(of_networks.to(at::kDouble), at::stack({expected, -expected}, -1), tolerance, tolerance));
}

TEST_CASE("a row that is added to all rows", "[platform]") {
  const auto type = GENERATE(at::kFloat, at::kDouble);
  const auto [n, features] =
      GENERATE(table<std::int64_t, std::int64_t>({{7, 5}, {1, 5}, {7, 1}, {0, 5}, {1025, 3}}));
  CAPTURE(type, n, features);
  const Tensor x = at::randn({n, features}, type);
  const Tensor row = at::randn({1, features}, type);
  for (const Tensor& y : layouts(x)) {
    for (const Tensor& b : layouts(row)) {
      const Tensor before = y.clone();
      add_to_rows(y, b[0]);
      CHECK(at::equal(y, before + row));
      y.copy_(before);
    }
  }
}

TEST_CASE("a product passes on what is not finite", "[platform]") {
  const Tensor x = at::ones({3, 2});
  x[1][0] = std::numeric_limits<float>::infinity();
  x[2][1] = std::nan("");
  const Tensor sum = at::empty({2});
  add_rows(sum, x, 0.5);
  CHECK(std::isinf(sum[0].item<float>()));
  CHECK(std::isnan(sum[1].item<float>()));
}
