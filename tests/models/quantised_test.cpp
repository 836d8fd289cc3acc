// Quantised networks: their arithmetic against exact numbers, what they lose against the float network's, and that
// nothing overflows.
#include "handgrad/models/quantised.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "handgrad/base/errors.h"
#include "handgrad/models/c_int8.h"
#include "handgrad/nn/ops.h"
#include "models/random_model.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

constexpr Activation all_activations[] = {Activation::relu, Activation::leaky_relu, Activation::tanh};

Tensor random_pixels(std::int64_t count, std::int64_t inputs) {
  at::manual_seed(11);
  return at::randint(0, 256, {count, inputs}, at::kByte);
}

double value_of(Multiplier multiplier) {
  return std::ldexp(multiplier.factor, -multiplier.shift);
}

// A network 1-1-1 of such weights, on pixels 0 to 255.
Model line(float first, float first_bias, float second, float second_bias,
           Activation activation = Activation::relu) {
  Model model = random_model({1, {1}, 1, BatchNormPlace::none, activation}, {1, 1});
  model.network->parameters.weight[0].fill_(first);
  model.network->parameters.bias[0].fill_(first_bias);
  model.network->parameters.weight[1].fill_(second);
  model.network->parameters.bias[1].fill_(second_bias);
  return model;
}

Tensor every_pixel() {
  return at::arange(256, at::kLong).to(at::kByte).view({256, 1});
}

}  // namespace

TEST_CASE("a multiplier is its ratio to 31 bits", "[quantise]") {
  for (double ratio = std::ldexp(1.37, -30); ratio < std::ldexp(1, 30); ratio *= 1.618) {
    const Multiplier multiplier = nearest_multiplier(ratio);
    CAPTURE(ratio, multiplier.factor, static_cast<int>(multiplier.shift));
    CHECK(std::abs(value_of(multiplier) / ratio - 1) <= std::ldexp(1, -31));
    CHECK(multiplier.shift >= 1);
    CHECK(multiplier.shift <= 62);
  }
  // Just below a power of two, what is nearest would need a bit more.
  CHECK(value_of(nearest_multiplier(std::nextafter(1.0, 0.0))) == Approx(1).epsilon(1e-9));
  CHECK(nearest_multiplier(0).factor == 0);
  CHECK(scaled(1, nearest_multiplier(1e300)) > 255);
  CHECK(scaled(std::numeric_limits<std::int32_t>::max(), nearest_multiplier(1e-300)) == 0);
  CHECK(scaled(std::numeric_limits<std::int32_t>::max(), nearest_multiplier(std::ldexp(1, -32))) == 0);
}

TEST_CASE("scaling rounds the exact product, halves away from 0", "[quantise]") {
  CHECK(scaled(1, {1, 1}) == 1);  // 1/2
  CHECK(scaled(-1, {1, 1}) == -1);
  CHECK(scaled(3, {1, 2}) == 1);
  CHECK(scaled(1, {1, 2}) == 0);
  CHECK(scaled(-1, {1, 2}) == 0);
  CHECK(scaled(5, {1, 1}) == 3);
  const std::int64_t most = std::numeric_limits<std::int32_t>::max();
  CHECK(scaled(most, {2147483647, 62}) == 1);
  CHECK(scaled(most, {2147483647, 1}) == (most * most + 1) / 2);
  at::manual_seed(3);
  const Tensor numbers = at::randint(-most, most, {2000, 2}, at::kLong);
  for (std::int64_t i = 0; i < 2000; ++i) {
    const std::int64_t sum = numbers[i][0].item<std::int64_t>();
    const Multiplier by{static_cast<std::int32_t>(std::abs(numbers[i][1].item<std::int64_t>())),
                        static_cast<std::uint8_t>(1 + i % 62)};
    // Quotient and remainder, where the program adds and shifts.
    const std::int64_t product = std::abs(sum) * by.factor;
    const std::int64_t divisor = std::int64_t{1} << by.shift;
    const std::int64_t rest = product % divisor;
    const std::int64_t expected = product / divisor + (rest >= divisor - rest ? 1 : 0);
    CHECK(scaled(sum, by) == (sum < 0 ? -expected : expected));
  }
}

TEST_CASE("weights are off by half a step of their unit at most, and reach its largest", "[quantise]") {
  const Model model = random_model({30, {8}, 4}, {5, 6});
  const QuantisedNetwork network = quantise(model, random_pixels(100, 30));
  const Tensor weight = model.network->parameters.weight[0][0];
  const QuantisedLayer& layer = network.layers[0];
  for (std::int64_t o = 0; o < 8; ++o) {
    const double step = weight[o].abs().max().item<double>() / 127;
    int largest = 0;
    for (std::int64_t i = 0; i < 30; ++i) {
      const int w = layer.weight[static_cast<std::size_t>(o * 30 + i)];
      CHECK(std::abs(w * step - weight[o][i].item<double>()) <= step * 0.5001);
      largest = std::max(largest, std::abs(w));
    }
    CHECK(largest == 127);
    const double bias = layer.bias[static_cast<std::size_t>(o)] * step / 255;
    CHECK(std::abs(bias - model.network->parameters.bias[0][0][o].item<double>()) <= step / 255 * 0.5001);
  }
}

TEST_CASE("a unit's output is off by a step of it at most", "[quantise]") {
  for (const Activation activation : all_activations) {
    CAPTURE(name_of(activation));
    const Model model = line(3, -1.25F, 0.5F, 0.125F, activation);
    const Tensor x = every_pixel().to(at::kDouble) / 255 * 3 - 1.25;
    const Tensor y = activation == Activation::relu         ? x.clamp_min(0)
                     : activation == Activation::leaky_relu ? at::leaky_relu(x, leaky_relu_slope)
                                                            : x.tanh();
    const Tensor actual = logits(quantise(model, every_pixel()), every_pixel()).view(-1).to(at::kDouble);
    const double step = activation == Activation::tanh ? 1.5 / 127 : 0.51 * (1.75 + 0.0125) / 255;
    CHECK((actual - (0.5 * y.view(-1) + 0.125)).abs().max().item<double>() <= 0.5 * step + 1e-4);
  }
}

TEST_CASE("a quantised network nearly always gives the float network's class", "[quantise]") {
  for (const Activation activation : all_activations) {
    for (const BatchNormPlace place : {BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before}) {
      for (const bool deskew : {false, true}) {
        for (const std::vector<std::int64_t>& hidden :
             std::vector<std::vector<std::int64_t>>{{}, {24}, {24, 16, 12}}) {
          CAPTURE(name_of(activation), name_of(place), deskew, hidden);
          Model model = random_model({64, hidden, 10, place, activation}, {8, 8});
          model.network->parameters.flat.mul_(0.5);
          model.info.deskew = deskew;
          const Tensor pixels = random_pixels(1000, 64);
          const Tensor expected = probabilities(model, pixels).argmax(1);
          if (model.network->architecture().has_batch_norm()) model = fold_batch_norm(model);
          const Tensor actual = logits(quantise(model, pixels.slice(0, 0, 500)), pixels).argmax(1);
          CHECK(actual.ne(expected).sum().item<std::int64_t>() <= 50);
        }
      }
    }
  }
}

TEST_CASE("units that batch norm scales up leave the others their precision", "[quantise]") {
  // The first unit is dead and the second small, and after each the weights are as much larger.
  for (const Activation activation : {Activation::relu, Activation::leaky_relu}) {
    CAPTURE(name_of(activation));
    Model model = random_model({64, {12}, 10, BatchNormPlace::none, activation}, {8, 8});
    const Parameters& parameters = model.network->parameters;
    parameters.weight[0][0][0].fill_(0);
    parameters.bias[0][0][0].fill_(0);
    parameters.weight[1][0].select(1, 0).mul_(1e4);
    parameters.weight[0][0][1].mul_(1e-3);
    parameters.bias[0][0][1].mul_(1e-3);
    parameters.weight[1][0].select(1, 1).mul_(1e3);
    const Tensor pixels = random_pixels(500, 64);
    const Tensor changed =
        logits(quantise(model, pixels), pixels).argmax(1).ne(probabilities(model, pixels).argmax(1));
    CHECK(changed.sum().item<std::int64_t>() <= 10);
  }
}

TEST_CASE("what calibration did not see saturates", "[quantise]") {
  // Calibrated up to pixel 100 only: above, the hidden unit stays at its largest.
  const QuantisedNetwork network = quantise(line(1, 0, 1, 0), every_pixel().slice(0, 0, 101));
  const Tensor results = logits(network, every_pixel()).view(-1);
  CHECK(results[100].item<double>() == Approx(100.0 / 255).epsilon(0.01));
  CHECK(results[255].item<double>() == results[101].item<double>());
  // Of leaky ReLU below as well.
  const QuantisedNetwork leaky =
      quantise(line(-1, 0.25F, 1, 0, Activation::leaky_relu), every_pixel().slice(0, 0, 101));
  const Tensor below = logits(leaky, every_pixel()).view(-1);
  CHECK(below[255].item<double>() >= -0.01 * 0.15 - 0.01);
  CHECK(below[0].item<double>() == Approx(0.25).epsilon(0.01));
  // Of a unit that was never more than 0 any pixel may be anything, but not undefined.
  CHECK(at::isfinite(logits(quantise(line(1, -2, 1, 0), every_pixel()), every_pixel())).all().item<bool>());
  CHECK(at::isfinite(logits(quantise(line(0, 0, 0, 0), every_pixel()), every_pixel())).all().item<bool>());
}

TEST_CASE("no sum leaves 32 bits", "[quantise]") {
  // The widest layer with the largest weights of one sign, and biases far beyond them.
  for (const float bias : {0.0F, 1e6F, -1e6F}) {
    CAPTURE(bias);
    Model model =
        random_model({widest_layer, {2}, 2, BatchNormPlace::none, Activation::leaky_relu}, {256, 256});
    model.network->parameters.weight[0].fill_(1);
    model.network->parameters.bias[0].fill_(bias);
    model.network->parameters.weight[1].fill_(-1e-6F);
    model.network->parameters.bias[1].fill_(bias);
    const Tensor white = at::full({1, widest_layer}, 255, at::kByte);
    const QuantisedNetwork network = quantise(model, white);
    for (const QuantisedLayer& layer : network.layers) {
      for (std::int64_t o = 0; o < layer.outputs; ++o) {
        std::int64_t size = std::abs(static_cast<std::int64_t>(layer.bias[static_cast<std::size_t>(o)]));
        for (std::int64_t i = 0; i < layer.inputs; ++i) {
          size += 255 * std::abs(layer.weight[static_cast<std::size_t>(o * layer.inputs + i)]);
        }
        CHECK(size <= std::numeric_limits<std::int32_t>::max());
      }
    }
    const double hidden = 65536.0 + bias;
    const double expected = bias - 2e-6 * (hidden < 0 ? leaky_relu_slope * hidden : hidden);
    CHECK(logits(network, white)[0][0].item<double>() == Approx(expected).epsilon(1e-3).margin(1e-3));
  }
}

TEST_CASE("what cannot be quantised is refused", "[quantise]") {
  const Model model = random_model({4, {3}, 2, BatchNormPlace::after}, {2, 2});
  CHECK_THROWS_WITH(quantise(model, random_pixels(3, 4)), Contains("batch norm must be folded"));
  CHECK_THROWS_WITH(quantise(line(3e38F, 0, 3e38F, 0), every_pixel()), Contains("leave float32"));
  CHECK_NOTHROW(quantise(line(1e38F, 0, 1e-38F, 0), every_pixel()));
}

TEST_CASE("the header of a quantised network says what it takes", "[quantise]") {
  const Model model = random_model({6, {4, 3}, 2}, {2, 3});
  const std::string text = to_int8_c_header(model, quantise(model, random_pixels(9, 6)), "p");
  // 24 + 12 + 6 weights, 9 bytes for each hidden unit, 4 for each class; two buffers, and the sums.
  CHECK_THAT(text,
             Contains("6-4-3-2 in int8, by handgrad. 120 bytes of flash for constants, about 16 of RAM"));
  CHECK_THAT(text, Contains("static const int8_t p_0_weight[24] = {\n"));
  CHECK_THAT(text, !Contains("@") && !Contains("$"));
}
