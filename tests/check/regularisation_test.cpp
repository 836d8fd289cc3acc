// Dropout, label smoothing and clipping: their masks, their place in the certificate, and planted faults.
#include <cmath>
#include <set>

#include "check/rows.h"
#include "handgrad/base/random.h"
#include "handgrad/check/gradcheck.h"
#include "test.h"

using namespace handgrad;

namespace {

GradcheckOptions regularised(double dropout, double input_dropout, double smoothing,
                             std::optional<double> clip) {
  GradcheckOptions options;
  options.architecture = {12, {8, 6}, 4, BatchNormPlace::none};
  options.replicas = 3;
  options.batch_size = 24;
  options.network.dropout = {input_dropout, dropout};
  options.label_smoothing = smoothing;
  options.clip = clip;
  return options;
}

Tensor mask_of(std::int64_t images, const std::vector<std::int64_t>& keys, std::int64_t features, double p,
               at::ScalarType dtype = at::kFloat) {
  Tensor mask = at::full({images, static_cast<std::int64_t>(keys.size()), features}, std::nan(""), dtype);
  dropout_mask(mask, at::tensor(keys, at::kLong), p);
  return mask;
}

}  // namespace

TEST_CASE("dropout drops its share, and scales up the rest", "[gradient]") {
  const double p = GENERATE(0.1, 0.5, 0.9);
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  const Tensor mask = mask_of(100, {1, 2, 3}, 200, p, dtype);
  const Tensor dropped = mask.eq(0);
  CHECK(mask.masked_select(dropped.logical_not()).sub(1 / (1 - p)).abs().max().item<double>() <= 1e-6);
  const auto count = static_cast<double>(mask.numel());
  const double share = dropped.sum().item<double>() / count;
  CHECK(std::abs(share - p) < 5 * std::sqrt(p * (1 - p) / count));
  // No image, network or feature has another share, and neighbours are independent.
  const double spread = 5 * std::sqrt(p * (1 - p) / 300.0);
  const Tensor by_feature = dropped.to(at::kDouble).mean(at::IntArrayRef{0, 1});
  CHECK((by_feature - p).abs().max().item<double>() < spread);
  const Tensor centred = dropped.to(at::kDouble) - p;
  const Tensor neighbours = (centred.narrow(2, 0, 199) * centred.narrow(2, 1, 199)).mean();
  CHECK(std::abs(neighbours.item<double>()) < 5 * p * (1 - p) / std::sqrt(count));
}

TEST_CASE("a mask is a function of key and place alone", "[gradient]") {
  const Tensor together = mask_of(20, {7, 8, 9}, 30, 0.3);
  CHECK(at::equal(together.select(1, 1), mask_of(20, {8}, 30, 0.3).select(1, 0)));
  CHECK(at::equal(together.narrow(0, 0, 5), mask_of(5, {7, 8, 9}, 30, 0.3)));
  CHECK_FALSE(at::equal(together.select(1, 0), together.select(1, 1)));
  const auto key = [](std::uint64_t seed, std::uint64_t step, std::uint64_t layer) {
    return QuickRandom::key(seed, Stream::dropout, step, layer);
  };
  CHECK(std::set<std::uint64_t>{key(1, 1, 1), key(1, 1, 2), key(1, 2, 1), key(2, 1, 1)}.size() == 4);

  Tensor by_operations = at::empty_like(together);
  dropout_mask_by_operations(by_operations, at::tensor(std::vector<std::int64_t>{7, 8, 9}, at::kLong), 0.3);
  CHECK(at::equal(together, by_operations));
}

TEST_CASE("gradcheck passes with dropout, label smoothing and clipping", "[gradcheck]") {
  struct Case {
    double dropout, input_dropout, smoothing;
    std::optional<double> clip;
  };
  const auto c = GENERATE(Case{0.5, 0, 0, {}}, Case{0, 0.2, 0, {}}, Case{0, 0, 0.1, {}}, Case{0, 0, 0, 0.5},
                          Case{0.3, 0.2, 0.1, 0.5});
  GradcheckOptions options = regularised(c.dropout, c.input_dropout, c.smoothing, c.clip);
  options.architecture.batch_norm =
      GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  options.architecture.activation = Activation::tanh;
  options.dtype = GENERATE(at::kDouble, at::kFloat);
  CAPTURE(c.dropout, c.input_dropout, c.smoothing, name_of(options.architecture.batch_norm));
  const GradientReport report = gradcheck(options);
  CHECK(failing_rows(report).empty());
  CHECK(report.passed());
  std::set<std::string> pairs;
  for (const GradientCheck& check : report.checks) pairs.insert(check.pair);
  CHECK(pairs.count("dropout 8") == (c.dropout > 0 ? 1 : 0));
  CHECK(pairs.count("clipping by norm") == (c.clip ? 1 : 0));
}

TEST_CASE("gradcheck finds faults in dropout, label smoothing and clipping", "[gradcheck][planted]") {
  SECTION("a mask that is forgotten on the way back") {
    GradcheckOptions options = regularised(0.5, 0, 0, {});
    options.subject.dropout_backward = [](Tensor& dx, const Tensor& dy, const Tensor&) { dx.copy_(dy); };
    CHECK(failing_rows(gradcheck(options)) == Rows{"dropout 8: dx", "dropout 6: dx"});
  }
  SECTION("a gradient that is not scaled up, 0.1 % of it") {
    GradcheckOptions options = regularised(0.001, 0, 0, {});
    options.subject.dropout_backward = [](Tensor& dx, const Tensor& dy, const Tensor& mask) {
      at::mul_out(dx, dy, mask.gt(0).to(mask.scalar_type()));
    };
    CHECK(failing_rows(gradcheck(options)) == Rows{"dropout 8: dx", "dropout 6: dx"});
  }
  SECTION("another mask on the way back, in the whole network") {
    GradcheckOptions options = regularised(0.5, 0, 0, {});
    options.subject.network_gradients = [](Network& network, Workspace& workspace, const Tensor& x,
                                           const Tensor& targets, const L2& l2) {
      network.forward_backward(workspace, x, targets, l2);
      const Tensor weight = network.gradients.weight[1].clone();
      workspace.draw_dropout({9, 10, 11}, {9}, 0);
      network.forward_backward(workspace, x, targets, l2);
      network.gradients.weight[1].copy_(weight);
      workspace.draw_dropout({1, 2, 3}, {1}, 0);
      network.forward(workspace, x, Use::training);
    };
    const Rows failing = failing_rows(gradcheck(options));
    CHECK(failing.count("network, 24 images: layer 1 weight") == 1);
    CHECK(failing.count("network, 24 images: layer 2 weight") == 0);
  }
  SECTION("smoothed labels that are taken for one-hot ones") {
    GradcheckOptions options = regularised(0, 0, 0.1, {});
    options.subject.softmax_cross_entropy_backward = [](Tensor& dlogits, const Tensor& probabilities,
                                                        const Tensor& targets, std::int64_t n) {
      const Tensor one_hot = at::one_hot(targets.argmax(-1), targets.size(-1)).to(targets.scalar_type());
      softmax_cross_entropy_backward(dlogits, probabilities, one_hot, n);
    };
    CHECK(failing_rows(gradcheck(options)) == Rows{"softmax cross entropy: dlogits"});
  }
  SECTION("gradients clipped tensor by tensor, or all networks as one") {
    GradcheckOptions options = regularised(0, 0, 0, 0.5);
    SECTION("tensor by tensor") {
      options.subject.clip_gradient_norm = [](at::TensorList gradients, double most) {
        for (const Tensor& gradient : gradients) clip_gradient_norm({gradient}, most);
      };
    }
    SECTION("all networks as one") {
      options.subject.clip_gradient_norm = [](at::TensorList gradients, double most) {
        std::vector<Tensor> as_one;
        for (const Tensor& gradient : gradients) as_one.push_back(gradient.view({1, -1}));
        clip_gradient_norm(as_one, most);
      };
    }
    CHECK(failing_rows(gradcheck(options)) == Rows{"clipping by norm: clipped - PyTorch's = 0"});
  }
}

TEST_CASE("what is small enough is not clipped, and what is not finite stays so", "[gradient]") {
  const Tensor small = at::full({2, 3}, 0.1, at::kDouble);
  clip_gradient_norm({small}, 1);
  CHECK(at::equal(small, at::full({2, 3}, 0.1, at::kDouble)));
  Tensor one_is_nan = at::ones({2, 3}, at::kDouble);
  one_is_nan[0][0] = std::nan("");
  clip_gradient_norm({one_is_nan}, 1);
  CHECK(at::isnan(one_is_nan[0]).all().item<bool>());
  CHECK(std::abs(one_is_nan[1].norm().item<double>() - 1) < 1e-5);
}
