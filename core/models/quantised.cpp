// Post-training quantisation, as gemmlowp and CMSIS-NN have it: see Jacob et al., 2018, "Quantization and training
// of neural networks for efficient integer-arithmetic-only inference".
#include "handgrad/models/quantised.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/data/deskew.h"
#include "handgrad/nn/ops.h"

namespace handgrad {

namespace {

constexpr double most_weight = 127;
constexpr double most_byte = 255;
constexpr double pixel_scale = 1 / most_byte;
constexpr double tanh_steps = 127;

// Bias and weights have one of these each; what a zero byte moves into the bias is as much as the weights'
// once more. Rounding adds at most 255 to a sum for each of 65536 weights, and all of that is below 2^31.
constexpr double most_sum = 1 << 29;

std::uint8_t byte_of(std::int64_t value) {
  return static_cast<std::uint8_t>(std::clamp<std::int64_t>(value, 0, 255));
}

// Of each input of a layer, real = scale · (byte − zero); one that is always 0 has the scale 0. Both [inputs], float64.
struct ByteScale {
  Tensor scale, zero;
};

// A unit that batch norm scales up in the next layer's weights is small, or dead: only with scales of their own do
// such units leave the others' weights their precision. Of leaky ReLU one unit may be nearly always below 0 and
// another never.
ByteScale scale_for(const Tensor& activations) {
  const Tensor below = -activations.amin(0).clamp_max(0);
  const Tensor above = activations.amax(0).clamp_min(0);
  const Tensor share = (below / (below + above)).nan_to_num(0);
  const Tensor zero = (most_byte * share).ceil().clamp_max(most_byte - 1);
  return {at::maximum(above / (most_byte - zero), below / zero.clamp_min(1)), zero};
}

void require_float32(double scale) {
  if (scale <= std::numeric_limits<float>::max()) return;
  throw ModelError("the network has numbers that leave float32; it cannot be quantised");
}

Tensor activate(Activation activation, const Tensor& x) {
  switch (activation) {
    case Activation::relu:
      return x.clamp_min(0);
    case Activation::leaky_relu:
      return at::leaky_relu(x, leaky_relu_slope);
    case Activation::tanh:
      return x.tanh();
  }
  return {};
}

ByteScale scale_after(Activation activation, const Tensor& activations) {
  if (activation != Activation::tanh) return scale_for(activations);
  const Tensor scale = at::full({activations.size(1)}, 1 / tanh_steps, at::kDouble);
  return {scale, at::full_like(scale, 128)};
}

// Of each unit: the finest with which its weights are bytes and its sums are int32; `common`: with which those
// of all units are. weight: of bytes.
std::vector<double> sum_scales(const Tensor& weight, const Tensor& bias, bool common) {
  const Tensor size = weight.abs();
  Tensor finest =
      at::stack({size.amax(1) / most_weight, size.sum(1) * (most_byte / most_sum), bias.abs() / most_sum})
          .amax(0)
          .contiguous();
  if (common) finest.fill_(finest.max());
  std::vector<double> scales(finest.data_ptr<double>(), finest.data_ptr<double>() + finest.numel());
  for (double& scale : scales) scale = scale > 0 ? scale : 1;  // of a unit of zeros
  return scales;
}

// input_zero: of each input.
QuantisedLayer quantise_layer(const Tensor& weight, const Tensor& bias, const Tensor& input_zero,
                              const std::vector<double>& scales) {
  QuantisedLayer layer;
  layer.inputs = weight.size(1);
  layer.outputs = weight.size(0);
  const double* w = weight.data_ptr<double>();
  const auto* zero = input_zero.data_ptr<double>();
  for (std::size_t o = 0; o < scales.size(); ++o) {
    std::int64_t b = std::llround(bias.data_ptr<double>()[o] / scales[o]);
    for (std::int64_t i = 0; i < layer.inputs; ++i, ++w) {
      layer.weight.push_back(static_cast<std::int8_t>(std::lround(*w / scales[o])));
      b -= layer.weight.back() * static_cast<std::int64_t>(zero[i]);
    }
    layer.bias.push_back(static_cast<std::int32_t>(b));
  }
  return layer;
}

std::uint8_t activated(Activation activation, std::int64_t sum, Multiplier by, std::int32_t zero) {
  switch (activation) {
    case Activation::relu:
      return byte_of(zero + scaled(std::max<std::int64_t>(sum, 0), by));
    case Activation::leaky_relu: {
      static const Multiplier slope = nearest_multiplier(leaky_relu_slope);
      return byte_of(zero + scaled(sum < 0 ? scaled(sum, slope) : sum, by));
    }
    case Activation::tanh: {
      static const std::vector<std::uint8_t> table = tanh_table();
      const std::int32_t y = table[byte_of(scaled(std::abs(sum), by))];
      return static_cast<std::uint8_t>(sum < 0 ? zero - y : zero + y);
    }
  }
  return 0;
}

std::vector<std::int32_t> sums(const QuantisedLayer& layer, const std::uint8_t* x) {
  std::vector<std::int32_t> results = layer.bias;
  const std::int8_t* w = layer.weight.data();
  for (std::int32_t& sum : results) {
    for (std::int64_t i = 0; i < layer.inputs; ++i) sum += *w++ * x[i];
  }
  return results;
}

}  // namespace

Multiplier nearest_multiplier(double ratio) {
  int exponent = 0;
  const double fraction = std::frexp(ratio, &exponent);
  const int shift = std::clamp(31 - exponent, 1, 62);
  const double factor = std::min(std::ldexp(fraction, shift + exponent), 2147483647.0);
  return {static_cast<std::int32_t>(std::lround(factor)), static_cast<std::uint8_t>(shift)};
}

std::int64_t scaled(std::int64_t sum, Multiplier by) {
  const std::int64_t half = std::int64_t{1} << (by.shift - 1);
  const std::int64_t product = std::abs(sum) * by.factor;
  const std::int64_t rounded = (product + half) >> by.shift;
  return sum < 0 ? -rounded : rounded;
}

std::vector<std::uint8_t> tanh_table() {
  std::vector<std::uint8_t> table;
  for (int i = 0; i <= 255; ++i) {
    table.push_back(static_cast<std::uint8_t>(std::lround(tanh_steps * std::tanh(i * tanh_argument_step))));
  }
  return table;
}

QuantisedNetwork quantise(const Model& model, const Tensor& pixels) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  const Network& from = *model.network;
  if (from.architecture().has_batch_norm())
    throw ModelError("batch norm must be folded to quantise a network");
  QuantisedNetwork network{model.info.shape, model.info.deskew, from.architecture().activation, {}, 1};
  const Tensor of_pixels = at::full({pixels.size(1)}, pixel_scale, at::kDouble);
  ByteScale input{of_pixels, at::zeros_like(of_pixels)};
  Tensor x = (network.deskew ? deskewed(pixels, network.shape) : pixels).to(at::kDouble) * pixel_scale;
  for (std::size_t l = 0; l < from.parameters.weight.size(); ++l) {
    const Tensor weight = from.parameters.weight[l][0].to(at::kDouble);
    const Tensor bias = from.parameters.bias[l][0].to(at::kDouble).contiguous();
    const Tensor of_bytes = (weight * input.scale).contiguous();
    const bool last = l + 1 == from.parameters.weight.size();
    const std::vector<double> scales = sum_scales(of_bytes, bias, last);
    QuantisedLayer layer = quantise_layer(of_bytes, bias, input.zero, scales);
    if (last) {
      require_float32(scales.front());
      network.logit_scale = static_cast<float>(scales.front());
    } else {
      x = activate(network.activation, at::addmm(bias, x, weight.t()));
      input = scale_after(network.activation, x);
      require_float32(input.scale.max().item<double>());
      for (std::size_t o = 0; o < scales.size(); ++o) {
        const double step =
            network.activation == Activation::tanh ? tanh_argument_step : input.scale.data_ptr<double>()[o];
        layer.multiplier.push_back(nearest_multiplier(step > 0 ? scales[o] / step : 0));
        layer.zero.push_back(static_cast<std::uint8_t>(input.zero.data_ptr<double>()[o]));
      }
    }
    network.layers.push_back(std::move(layer));
  }
  return network;
}

Tensor logits(const QuantisedNetwork& network, const Tensor& pixels) {
  const Tensor bytes = (network.deskew ? deskewed(pixels, network.shape) : pixels).contiguous();
  const std::int64_t count = bytes.size(0);
  Tensor results = at::empty({count, network.layers.back().outputs}, at::kFloat);
  auto* result = results.data_ptr<float>();
  for (std::int64_t n = 0; n < count; ++n) {
    const std::uint8_t* image = bytes.data_ptr<std::uint8_t>() + n * bytes.size(1);
    std::vector<std::uint8_t> x(image, image + bytes.size(1));
    for (const QuantisedLayer& layer : network.layers) {
      const std::vector<std::int32_t> of_units = sums(layer, x.data());
      if (layer.multiplier.empty()) {
        for (const std::int32_t sum : of_units) *result++ = static_cast<float>(sum) * network.logit_scale;
        continue;
      }
      x.clear();
      for (std::size_t o = 0; o < of_units.size(); ++o) {
        x.push_back(activated(network.activation, of_units[o], layer.multiplier[o], layer.zero[o]));
      }
    }
  }
  return results;
}

}  // namespace handgrad
