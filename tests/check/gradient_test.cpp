// Every hand-written gradient against autograd: each pair with a random upstream gradient, and the whole
// network.
#include <torch/autograd.h>
#include <torch/nn/functional.h>

#include "handgrad/check/reference.h"
#include "handgrad/nn/network.h"
#include "handgrad/platform/threads.h"
#include "relative_error.h"
#include "test.h"

using namespace handgrad;
namespace F = torch::nn::functional;

namespace {

const auto float64 = torch::TensorOptions().dtype(torch::kDouble);

torch::Tensor random(at::IntArrayRef shape) {
  return torch::randn(shape, float64);
}
torch::Tensor leaf(at::IntArrayRef shape) {
  return random(shape).requires_grad_();
}
torch::Tensor same_shape(const torch::Tensor& tensor) {
  return torch::empty_like(tensor.detach());
}

// Fails for NaN, which no comparison is true for.
void check_close(const torch::Tensor& actual, const torch::Tensor& expected, double tolerance) {
  REQUIRE(actual.sizes() == expected.sizes());
  CHECK(relative_error(actual, expected) <= tolerance);
}

torch::Tensor one_hot_rows(const torch::Tensor& labels, std::int64_t classes) {
  return torch::one_hot(labels, classes).to(torch::kDouble).unsqueeze(1);
}

}  // namespace

TEST_CASE("linear: gradients of y = x Wᵀ + b", "[gradient]") {
  const std::int64_t n = GENERATE(1, 2, 7, 32);
  const bool batched = GENERATE(false, true);
  const auto shape = [&](std::int64_t a, std::int64_t b) {
    return batched ? std::vector<std::int64_t>{3, a, b} : std::vector<std::int64_t>{a, b};
  };
  const torch::Tensor x = leaf(shape(n, 11));
  const torch::Tensor weight = leaf(shape(5, 11));
  const torch::Tensor bias = leaf(batched ? std::vector<std::int64_t>{3, 5} : std::vector<std::int64_t>{5});
  const torch::Tensor dy = random(shape(n, 5));

  std::vector<torch::Tensor> outputs;
  for (std::int64_t r = 0; r < (batched ? 3 : 1); ++r) {
    outputs.push_back(batched ? F::linear(x[r], weight[r], bias[r]) : F::linear(x, weight, bias));
  }
  const torch::Tensor expected_y = batched ? torch::stack(outputs) : outputs.front();
  const auto expected = torch::autograd::grad({expected_y}, {x, weight, bias}, {dy});

  torch::Tensor y = same_shape(expected_y);
  torch::Tensor dx = same_shape(x);
  torch::Tensor dweight = same_shape(weight);
  torch::Tensor dbias = same_shape(bias);
  const torch::NoGradGuard no_grad;
  linear_forward(y, x, weight);
  linear_backward(&dx, &dweight, dy, x, weight);
  // The bias is added image by image: the axis of the images comes first.
  torch::Tensor by_image = batched ? y.transpose(0, 1) : y;
  bias_forward(by_image, bias);
  bias_backward(dbias, batched ? dy.transpose(0, 1) : dy);
  check_close(y, expected_y, 1e-12);
  check_close(dx, expected[0], 1e-12);
  check_close(dweight, expected[1], 1e-12);
  check_close(dbias, expected[2], 1e-12);
}

TEST_CASE("relu: gradients of y = max(x, 0), 0 at the kink", "[gradient]") {
  torch::Tensor x = random({7, 3, 5});
  x.view(-1).slice(0, 0, 20).zero_();
  x.requires_grad_();
  const torch::Tensor dy = random({7, 3, 5});
  const torch::Tensor expected_y = F::relu(x);
  const auto expected = torch::autograd::grad({expected_y}, {x}, {dy});

  const torch::NoGradGuard no_grad;
  torch::Tensor y = same_shape(x);
  torch::Tensor dx = same_shape(x);
  relu_forward(y, x);
  relu_backward(dx, dy, y);
  CHECK(torch::equal(y, expected_y));
  CHECK(torch::equal(dx, expected[0]));
}

TEST_CASE("leaky ReLU and tanh: gradients in place and beside, at the kink too", "[gradient]") {
  const bool is_tanh = GENERATE(false, true);
  const bool in_place = GENERATE(false, true);
  torch::Tensor x = random({7, 3, 5});
  x.view(-1).slice(0, 0, 20).zero_();
  x.requires_grad_();
  const torch::Tensor dy = random({7, 3, 5});
  const torch::Tensor expected_y = is_tanh ? torch::tanh(x) : F::leaky_relu(x);
  const auto expected = torch::autograd::grad({expected_y}, {x}, {dy});

  const torch::NoGradGuard no_grad;
  torch::Tensor y = in_place ? x.detach().clone() : same_shape(x);
  torch::Tensor dx = in_place ? dy.clone() : same_shape(x);
  const auto forward = is_tanh ? tanh_forward : leaky_relu_forward;
  const auto backward = is_tanh ? tanh_backward : leaky_relu_backward;
  forward(y, in_place ? y : x);
  backward(dx, in_place ? dx : dy, y);
  check_close(y, expected_y, 1e-15);
  check_close(dx, expected[0], 1e-14);
}

TEST_CASE("batch norm: gradients through mean and variance", "[gradient]") {
  const std::int64_t n = GENERATE(7, 8, 32);
  const torch::Tensor x = leaf({n, 3, 5});
  const torch::Tensor gamma = leaf({3, 5});
  const torch::Tensor beta = leaf({3, 5});
  const torch::Tensor dy = random({n, 3, 5});
  torch::Tensor expected_mean = torch::zeros({15}, float64);
  torch::Tensor expected_var = torch::ones({15}, float64);
  const torch::Tensor expected_y =
      F::batch_norm(
          x.flatten(1), expected_mean, expected_var,
          F::BatchNormFuncOptions().weight(gamma.flatten()).bias(beta.flatten()).training(true).eps(1e-5))
          .view_as(x);
  const auto expected = torch::autograd::grad({expected_y}, {x, gamma, beta}, {dy});

  const torch::NoGradGuard no_grad;
  torch::Tensor y = same_shape(x);
  torch::Tensor x_hat = same_shape(x);
  torch::Tensor dx = same_shape(x);
  torch::Tensor mean = same_shape(gamma);
  torch::Tensor variance = same_shape(gamma);
  torch::Tensor inverse_std = same_shape(gamma);
  torch::Tensor dgamma = same_shape(gamma);
  torch::Tensor dbeta = same_shape(beta);
  batch_norm_forward(y, x_hat, mean, variance, inverse_std, x, gamma, beta, 1e-5);
  batch_norm_backward(dx, dgamma, dbeta, dy, x_hat, inverse_std, gamma);
  check_close(y, expected_y, 1e-12);
  check_close(dx, expected[0], 1e-10);
  check_close(dgamma, expected[1], 1e-10);
  check_close(dbeta, expected[2], 1e-10);

  torch::Tensor running_mean = torch::zeros({3, 5}, float64);
  torch::Tensor running_var = torch::ones({3, 5}, float64);
  batch_norm_update_running(running_mean, mean, 0.1);
  batch_norm_update_running(running_var, variance * n / (n - 1), 0.1);
  check_close(running_mean.flatten(), expected_mean, 1e-12);
  check_close(running_var.flatten(), expected_var, 1e-12);

  batch_norm_evaluate(y, x, running_mean, running_var, gamma, beta, 1e-5);
  const torch::Tensor evaluated = F::batch_norm(
      x.flatten(1), expected_mean, expected_var,
      F::BatchNormFuncOptions().weight(gamma.flatten()).bias(beta.flatten()).training(false).eps(1e-5));
  check_close(y.flatten(1), evaluated, 1e-12);
}

TEST_CASE("softmax cross entropy: loss and gradient, also for extreme logits", "[gradient]") {
  const std::int64_t n = GENERATE(1, 2, 7, 32);
  const double scale = GENERATE(1.0, 1e4);
  const torch::Tensor logits = (random({n, 3, 10}) * scale).requires_grad_();
  const torch::Tensor labels = torch::randint(10, {n}, torch::kLong);
  std::vector<torch::Tensor> losses;
  for (std::int64_t r = 0; r < 3; ++r) losses.push_back(F::cross_entropy(logits.select(1, r), labels));
  const torch::Tensor expected_loss = torch::stack(losses);
  const torch::Tensor dloss = torch::ones({3}, float64);
  const auto expected = torch::autograd::grad({expected_loss}, {logits}, {dloss});

  const torch::NoGradGuard no_grad;
  torch::Tensor loss = torch::empty({3}, float64);
  torch::Tensor probabilities = same_shape(logits);
  torch::Tensor dlogits = same_shape(logits);
  const torch::Tensor targets = one_hot_rows(labels, 10);
  softmax_cross_entropy_forward(&loss, probabilities, logits, targets);
  softmax_cross_entropy_backward(dlogits, probabilities, targets, logits.size(0));
  check_close(loss, expected_loss, 1e-12);
  check_close(dlogits, expected[0], 1e-12);
}

TEST_CASE("L2 penalty: value and gradient, one λ or one each", "[gradient]") {
  const torch::Tensor weight = leaf({3, 5, 11});
  const torch::Tensor l2 = torch::tensor({0.5, 0.0, 2.0}, float64);
  const torch::Tensor expected_penalty = l2 / (2.0 * 32) * weight.square().sum({1, 2});
  const torch::Tensor dpenalty = torch::ones({3}, float64);
  const auto expected = torch::autograd::grad({expected_penalty}, {weight}, {dpenalty});

  const torch::NoGradGuard no_grad;
  torch::Tensor penalty = torch::empty({3}, float64);
  l2_penalty_forward(penalty, {weight}, l2, 32);
  check_close(penalty, expected_penalty, 1e-12);
  const torch::Tensor before = random({3, 5, 11});
  torch::Tensor dweight = before.clone();
  l2_penalty_backward(dweight, weight, l2.view({3, 1, 1}).expand_as(weight), 32);
  check_close(dweight - before, expected[0], 1e-12);
  dweight = before.clone();
  l2_penalty_backward(dweight, weight, 0.5, 32);
  check_close((dweight - before)[0], expected[0][0], 1e-12);
}

TEST_CASE("whole network: gradients equal autograd over an independent forward", "[gradient]") {
  const std::int64_t replicas = GENERATE(1, 3);
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const std::vector<double> l2_values =
      GENERATE(std::vector<double>{0.0}, std::vector<double>{0.7}, std::vector<double>{0.7, 0.0, 0.2});
  const std::int64_t n = GENERATE(1, 2, 7, 32);
  const auto hidden = GENERATE(std::vector<std::int64_t>{20, 7, 5}, std::vector<std::int64_t>{},
                               std::vector<std::int64_t>{4});
  if (l2_values.size() > 1 && replicas == 1) return;
  CAPTURE(replicas, name_of(batch_norm), l2_values, n, hidden);

  torch::manual_seed(17);
  Network network({30, hidden, 10, batch_norm}, replicas, float64);
  network.parameters.flat.copy_(torch::randn_like(network.parameters.flat) * 0.7);
  for (const torch::Tensor& gamma : network.parameters.gamma) gamma.add_(1);
  std::vector<double> l2_each = l2_values;
  l2_each.resize(static_cast<std::size_t>(replicas), l2_values.front());
  const L2 l2(l2_each, network.parameters);
  const torch::Tensor x = random({n, 30});
  const torch::Tensor labels = torch::randint(10, {n}, torch::kLong);

  const torch::NoGradGuard no_grad;
  Workspace workspace(network, n, Use::training);
  torch::Tensor loss = torch::empty({replicas}, float64);
  const auto pass = [&] { network.forward_backward(workspace, x, one_hot_rows(labels, 10), l2, &loss); };
  const bool normalised = network.architecture().has_batch_norm();
  if (normalised && n == 1) {
    CHECK_THROWS_WITH(pass(), Catch::Contains("at least 2 images"));
    return;
  }
  // Whatever was in the buffers before must not matter.
  network.gradients.flat.fill_(1e300);
  pass();

  for (std::int64_t r = 0; r < replicas; ++r) {
    CAPTURE(r);
    const ReferenceNetwork copy(network.architecture(), network.parameters, r);
    const double l2_of_r = l2_each[static_cast<std::size_t>(r)];
    const auto expected = copy.gradients(x, labels, l2_of_r);
    const auto rounding = copy.rounding(x, labels, l2_of_r, 0x1p-36, 1);
    const auto actual = network.gradients.views();
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double norm = expected[i].norm().item<double>();
      CAPTURE(i, norm, rounding[i]);
      // With two images a normalised feature is ±1: what flows back is of the order ε/(v + ε) of the terms
      // whose difference it is, so their size is the scale of the rounding errors. Batch norm before the
      // activation leaves nothing of a bias's gradient but rounding.
      const bool cancels = normalised && (n == 2 || batch_norm == BatchNormPlace::before);
      const double scale = cancels ? std::max(norm, rounding[i]) : norm;
      const double difference = (actual[i][r] - expected[i]).norm().item<double>();
      CHECK(difference <= (normalised ? 1e-10 : 1e-12) * scale);
    }
    const torch::Tensor expected_loss = copy.loss(x, labels, 0.0);
    CHECK(loss[r].item<double>() == Approx(expected_loss.item<double>()).epsilon(1e-12));
  }
}

// What batch norm leaves of a gradient of two images is a millionth of its terms, and less in the layers
// below.
TEST_CASE("the rounding of a gradient is foretold, however much of it cancels", "[gradient]") {
  const bool float32 = GENERATE(false, true);
  const std::int64_t n = GENERATE(2, 3, 32);
  const torch::NoGradGuard no_grad;
  int vanishing = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed, float32, n);
    torch::manual_seed(seed);
    Network network({30, {20, 7, 5}, 10, BatchNormPlace::after}, 1,
                    torch::TensorOptions().dtype(float32 ? torch::kFloat : torch::kDouble));
    network.initialise({seed});
    for (const torch::Tensor& tensor : network.parameters.views())
      tensor.add_(torch::randn_like(tensor), 0.5);
    const torch::Tensor x = torch::randn({n, 30}, torch::kFloat).to(torch::kDouble);
    const torch::Tensor labels = torch::randint(10, {n}, torch::kLong);
    Workspace workspace(network, n, Use::training);
    network.forward_backward(workspace, x.to(network.options()),
                             one_hot_rows(labels, 10).to(network.options()), L2({0.0}, network.parameters));

    const ReferenceNetwork copy(network.architecture(), network.parameters, 0);
    const auto expected = copy.gradients(x, labels, 0);
    const auto rounding = copy.rounding(x, labels, 0, float32 ? 0x1p-24 : 0x1p-36, 1);
    const auto actual = network.gradients.views();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double norm = expected[i].norm().item<double>();
      const double error = (actual[i][0].to(torch::kDouble) - expected[i]).norm().item<double>();
      CAPTURE(i, norm, rounding[i], error);
      CHECK(rounding[i] > 0.5 * norm);
      CHECK(error <= 64 * (float32 ? 0x1p-24 : 0x1p-53) * rounding[i]);
      vanishing += norm < 1e-5 * rounding[i] ? 1 : 0;
    }
  }
  CHECK((vanishing > 0) == (n == 2));
}

TEST_CASE("every weight of a wide network gets the penalty of its network", "[gradient]") {
  const std::vector<double> l2 = GENERATE(std::vector<double>{0.5, 0.5}, std::vector<double>{0.5, 0.25});
  const int threads = GENERATE(1, 3);
  // 99,000 weights, in ranges that begin in the middle of networks and layers.
  Network network({300, {150}, 30, BatchNormPlace::none}, 2, float64);
  network.initialise({1, 2});
  const torch::Tensor x = random({4, 300});
  const torch::Tensor targets = one_hot_rows(torch::randint(30, {4}, torch::kLong), 30);
  Workspace workspace(network, 4, Use::training);
  network.forward_backward(workspace, x, targets);
  const Tensor of_loss = network.gradients.flat.clone();
  set_threads(threads);
  network.forward_backward(workspace, x, targets, L2(l2, network.parameters));
  set_threads(1);
  const Parameters penalty(network.architecture(), 2, network.gradients.flat - of_loss);
  for (std::size_t l = 0; l < penalty.weight.size(); ++l) {
    for (std::int64_t r = 0; r < 2; ++r) {
      const Tensor expected = network.parameters.weight[l][r] * (l2[static_cast<std::size_t>(r)] / 4);
      CHECK(at::allclose(penalty.weight[l][r], expected, 1e-9, 1e-12));
    }
  }
  CHECK(penalty.biases.abs().max().item<double>() == 0);
}

TEST_CASE("bn-no-backward: the notebook's gradient differs from autograd's", "[gradient]") {
  NetworkOptions no_backward;
  no_backward.batch_norm.backward = false;
  Network network({30, {20, 7}, 10, BatchNormPlace::after}, 1, float64, no_backward);
  network.initialise({1});
  const L2 l2({0.0}, network.parameters);
  const torch::Tensor x = random({32, 30});
  const torch::Tensor labels = torch::randint(10, {32}, torch::kLong);
  Workspace workspace(network, 32, Use::training);
  network.forward_backward(workspace, x, one_hot_rows(labels, 10), l2);

  const auto expected =
      ReferenceNetwork(network.architecture(), network.parameters, 0).gradients(x, labels, 0.0);
  CHECK(relative_error(network.gradients.weight[0][0], expected[0]) > 0.1);
  CHECK(relative_error(network.gradients.weight[2][0], expected[2]) <= 1e-10);
  CHECK(network.gradients.gamma[0].norm().item<double>() == 0);
}
