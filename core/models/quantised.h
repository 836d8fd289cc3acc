// A network in whole numbers, for machines that have little memory and no floating-point unit: weights and
// activations are bytes, sums are int32. What stands here is the arithmetic; c_int8 writes it as C.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/models/model.h"

namespace handgrad {

// The ratio factor / 2^shift. factor is below 2^31 and shift from 1 to 62, so that with a sum below 2^31 all of
// scaled() fits in 64 bits.
struct Multiplier {
  std::int32_t factor = 0;
  std::uint8_t shift = 1;
};

// The nearest to a ratio of at least 0: to 31 bits of it from 2^-31 to 2^30. Below, every product is less than 1;
// above it is the largest there is, with which every sum but 0 leaves a byte.
Multiplier nearest_multiplier(double ratio);

// sum · by, rounded, halves away from 0. |sum| < 2^31.
std::int64_t scaled(std::int64_t sum, Multiplier by);

// A linear layer on bytes, and the activation after it. The sum of unit o is bias[o] + Σ weight[o,i] x[i].
struct QuantisedLayer {
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::vector<std::int8_t> weight;  // [outputs, inputs], −127 to 127
  std::vector<std::int32_t> bias;   // [outputs]
  // Of a hidden layer: from the sum of a unit to steps of its output, or, of tanh, to those of tanh's argument.
  std::vector<Multiplier> multiplier;
  std::vector<std::uint8_t> zero;  // of a hidden layer: the byte of each unit that stands for 0
};

struct QuantisedNetwork {
  ImageShape shape;
  bool deskew = false;
  Activation activation = Activation::relu;
  std::vector<QuantisedLayer> layers;
  float logit_scale = 1;  // logit = sum · logit_scale, of each class, so that the largest sum tells the class
};

// tanh(i / 64) in steps of 1 / 127, for i from 0 to 255; its negatives are the same.
constexpr double tanh_argument_step = 1.0 / 64;
std::vector<std::uint8_t> tanh_table();

// The only network, which has no batch norm (see fold_batch_norm). Weights are symmetric, with a scale for each
// unit, but one for all classes; activations have a scale and a byte for 0 for each unit, by what `pixels`
// [N,inputs], uint8, reach, which are put into the next layer's weights and biases; pixels are taken as they
// are. No sum, nor any part of it, leaves int32, whatever the pixels are.
// Throws ModelError where batch norm is left or a scale leaves float32.
QuantisedNetwork quantise(const Model& model, const Tensor& pixels);

// The same integers as the C that to_int8_c_header writes. pixels [N,inputs], uint8 → logits [N,C], float32.
Tensor logits(const QuantisedNetwork& network, const Tensor& pixels);

}  // namespace handgrad
