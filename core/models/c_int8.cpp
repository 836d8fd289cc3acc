// A quantised network as C99 source: the loops of quantised.cpp, and the constants that they read.
#include "handgrad/models/c_int8.h"

#include <fmt/format.h>

#include <algorithm>

#include "handgrad/models/c_text.h"
#include "handgrad/nn/ops.h"

namespace handgrad {

namespace {

constexpr const char* sum_function = R"(
/* bias + w x */
static inline int32_t @_sum(const unsigned char *x, const int8_t *weight, int32_t bias, size_t inputs) {
  int32_t sum = bias;
  for (size_t i = 0; i < inputs; ++i) sum += weight[i] * x[i];
  return sum;
}
)";

// What hidden layers need as well.
constexpr const char* integer_functions = R"(
/* sum * factor / 2^shift, rounded, halves away from 0. The product, one for each unit, takes up to 62 bits; what C
   leaves open, shifting negative numbers, is not done. */
static inline int64_t @_scaled(int32_t sum, int32_t factor, int shift) {
  const int64_t half = (int64_t)1 << (shift - 1);
  if (sum < 0) return -((half - (int64_t)sum * factor) >> shift);
  return ((int64_t)sum * factor + half) >> shift;
}

static inline unsigned char @_byte(int64_t value) {
  return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

)";

constexpr const char* hidden_layer = R"(
/* Bytes to bytes: a linear layer and its activation. zero: of each unit the byte that stands for 0. */
static inline void @_hidden(unsigned char *y, const unsigned char *x, const int8_t *weight, const int32_t *bias,
                            const int32_t *factor, const unsigned char *shift, const unsigned char *zero,
                            size_t inputs, size_t outputs) {
  for (size_t o = 0; o < outputs; ++o) {
    y[o] = @_activated(@_sum(x, weight + o * inputs, bias[o], inputs), factor[o], shift[o], zero[o]);
  }
}
)";

// From pixels to classes. $declared: the buffers; $calls: the layers before the last; $last: what it takes.
constexpr const char* entries = R"(
/* Pixels row by row, 0 to 255, to sums, of which the logits are a multiple. */
static inline void @_sums_of_bytes(int32_t sums[@_classes], const unsigned char pixels[@_inputs]) {
$declared$calls  for (size_t c = 0; c < @_classes; ++c) {
    sums[c] = @_sum($x, @_$last_weight + c * $inputs, @_$last_bias[c], $inputs);
  }
}

/* The class, in integers alone. */
static inline int @_class_of_bytes(const unsigned char pixels[@_inputs]) {
  int32_t sums[@_classes];
  size_t best = 0;
  @_sums_of_bytes(sums, pixels);
  for (size_t c = 1; c < @_classes; ++c) {
    if (sums[c] > sums[best]) best = c;
  }
  return (int)best;
}

/* Pixels row by row, 0 to 255, to logits. */
static inline void @_logits_of_bytes(float logits[@_classes], const unsigned char pixels[@_inputs]) {
  int32_t sums[@_classes];
  @_sums_of_bytes(sums, pixels);
  for (size_t c = 0; c < @_classes; ++c) logits[c] = (float)sums[c] * $scalef;
}
)";

template <typename Number>
std::vector<std::string> texts(const std::vector<Number>& numbers) {
  std::vector<std::string> result;
  for (const Number number : numbers) result.push_back(fmt::format("{}", +number));
  return result;
}

// From the sum of a hidden unit to a byte.
std::string c_activated(Activation activation) {
  static constexpr const char* signature =
      "static inline unsigned char @_activated(int32_t sum, int32_t factor, int shift, int32_t zero) {";
  const auto function = [](const std::string& text, const std::string& statements) {
    return fmt::format("/* {} */\n{}\n{}}}\n", text, signature, statements);
  };
  constexpr const char* clamped = "  return @_byte(zero + @_scaled(sum, factor, shift));\n";
  switch (activation) {
    case Activation::relu:
      return function("ReLU: the byte for 0 is the least.", clamped);
    case Activation::leaky_relu: {
      const Multiplier slope = nearest_multiplier(leaky_relu_slope);
      return function("Leaky ReLU.", fmt::format("  if (sum < 0) sum = (int32_t)@_scaled(sum, {}, {});\n",
                                                 slope.factor, slope.shift) +
                                         clamped);
    }
    case Activation::tanh:
      return c_array("unsigned char", "@_tanh", texts(tanh_table())) + '\n' +
             function("tanh of 1/64 of the scaled sum, in 1/127, by a table of its values from 0 on.",
                      "  const int32_t y = @_tanh[@_byte(@_scaled(sum < 0 ? -sum : sum, factor, shift))];\n"
                      "  return (unsigned char)(sum < 0 ? zero - y : zero + y);\n");
  }
  return "";
}

std::string layer_arrays(const QuantisedLayer& layer, std::size_t index) {
  const auto name = [&](const char* what) { return fmt::format("@_{}_{}", index, what); };
  std::string text = c_array("int8_t", name("weight"), texts(layer.weight));
  text += c_array("int32_t", name("bias"), texts(layer.bias));
  if (layer.multiplier.empty()) return text;
  std::vector<std::int32_t> factors;
  std::vector<std::uint8_t> shifts;
  for (const Multiplier& multiplier : layer.multiplier) {
    factors.push_back(multiplier.factor);
    shifts.push_back(multiplier.shift);
  }
  text += c_array("int32_t", name("factor"), texts(factors));
  text += c_array("unsigned char", name("shift"), texts(shifts));
  return text + c_array("unsigned char", name("zero"), texts(layer.zero));
}

// Bytes of constants.
std::int64_t flash_of(const QuantisedNetwork& network) {
  std::int64_t bytes = 0;
  for (const QuantisedLayer& layer : network.layers) {
    bytes += layer.inputs * layer.outputs + (layer.multiplier.empty() ? 4 : 10) * layer.outputs;
  }
  return bytes + (network.activation == Activation::tanh && network.layers.size() > 1 ? 256 : 0);
}

}  // namespace

std::string to_int8_c_header(const Model& model, const QuantisedNetwork& network, const std::string& prefix) {
  const Architecture& architecture = model.network->architecture();
  const std::int64_t width = architecture.widest_hidden();
  const auto hidden = static_cast<std::int64_t>(network.layers.size()) - 1;
  std::string code = c_sizes(model);
  std::string declared;
  std::string calls;
  std::string x = "pixels";
  if (hidden > 0)
    declared =
        fmt::format("  unsigned char a[{0}]{1};\n", width, hidden > 1 ? fmt::format(", b[{}]", width) : "");
  if (network.deskew) {
    declared += "  unsigned char upright[@_inputs];\n";
    calls = "  @_deskew(upright, pixels);\n";
    x = "upright";
  }
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    const QuantisedLayer& layer = network.layers[l];
    code += layer_arrays(layer, l);
    if (layer.multiplier.empty()) continue;
    const char* y = l % 2 == 0 ? "a" : "b";
    calls += fmt::format(
        "  @_hidden({1}, {2}, @_{0}_weight, @_{0}_bias, @_{0}_factor, @_{0}_shift, @_{0}_zero, {3}, {4});\n",
        l, y, x, layer.inputs, layer.outputs);
    x = y;
  }
  code += sum_function;
  if (hidden > 0) code += integer_functions + c_activated(network.activation) + hidden_layer;
  if (network.deskew) code += c_deskew;
  code += entries;
  replace_all(code, "$declared", declared);
  replace_all(code, "$calls", calls);
  replace_all(code, "$x", x);
  replace_all(code, "$last", std::to_string(hidden));
  replace_all(code, "$inputs", std::to_string(network.layers.back().inputs));
  replace_all(code, "$scale", fmt::format("{:.9e}", network.logit_scale));
  code += c_logits_by_bytes;
  code += c_softmax;
  const std::int64_t stack = std::min<std::int64_t>(hidden, 2) * width + 4 * architecture.classes +
                             (network.deskew ? architecture.inputs : 0);
  const std::string summary = fmt::format(
      "{} in int8, by handgrad. {} bytes of flash for constants, about {} of RAM for buffers on the stack.",
      architecture.description(), flash_of(network), stack);
  return c_file(model, summary, "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n", code,
                prefix);
}

}  // namespace handgrad
