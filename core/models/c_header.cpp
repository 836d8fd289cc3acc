// A network as C99 source: its parameters as constant arrays, and the loops that read them.
#include "handgrad/models/c_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "handgrad/base/errors.h"
#include "handgrad/models/c_text.h"

namespace handgrad {

namespace {

// The shortest text that is this number again.
std::string literal(float value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text + 'f';
}

std::string array(const std::string& name, const Tensor& tensor) {
  const Tensor values = tensor.to(at::kFloat).contiguous();
  if (!at::isfinite(values).all().item<bool>()) {
    throw ModelError("the network has numbers that leave float32; it cannot be written as C");
  }
  const float* value = values.data_ptr<float>();
  std::vector<std::string> numbers;
  for (std::int64_t i = 0; i < values.numel(); ++i) numbers.push_back(literal(value[i]));
  return c_array("float", name, numbers);
}

// The functions that are the same for every network; @ stands for the prefix.
constexpr const char* functions = R"(
/* y = W x + b */
static inline void @_linear(float *y, const float *x, const float *weight, const float *bias, size_t inputs,
                            size_t outputs) {
  for (size_t o = 0; o < outputs; ++o) {
    float sum = bias[o];
    for (size_t i = 0; i < inputs; ++i) sum += weight[o * inputs + i] * x[i];
    y[o] = sum;
  }
}

/* The same for x / 255. */
static inline void @_linear_of_bytes(float *y, const unsigned char *x, const float *weight, const float *bias,
                                     size_t inputs, size_t outputs) {
  for (size_t o = 0; o < outputs; ++o) {
    float sum = 0.0f;
    for (size_t i = 0; i < inputs; ++i) sum += weight[o * inputs + i] * (float)x[i];
    y[o] = sum / 255.0f + bias[o];
  }
}

$activation/* x = scale x + shift: batch norm with the running statistics */
static inline void @_batch_norm(float *x, const float *scale, const float *shift, size_t count) {
  for (size_t i = 0; i < count; ++i) x[i] = scale[i] * x[i] + shift[i];
}
)";

// An activation in C, on each of `count` numbers.
struct CFunction {
  const char *name, *statement;
};

CFunction c_function(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return {"relu", "if (x[i] < 0.0f) x[i] = 0.0f;"};
    case Activation::leaky_relu:
      return {"leaky_relu", "if (x[i] < 0.0f) x[i] *= 0.01f;"};
    case Activation::tanh:
      return {"tanh", "x[i] = tanhf(x[i]);"};
  }
  return {};
}

std::string c_source(const CFunction& activation) {
  return fmt::format(
      "static inline void @_{}(float *x, size_t count) {{\n  for (size_t i = 0; i < count; ++i) {{\n"
      "    {}\n  }}\n}}\n\n",
      activation.name, activation.statement);
}

// The layers in C: their constants, and what is called on the way through them. A # stands for what the
// first call is of, $input for what it takes, the @ for the prefix of all names.
struct CLayers {
  std::string arrays, calls;
  std::int64_t floats = 0;  // constants
};

CLayers c_layers(const Network& network) {
  const std::vector<Affine> affines = batch_norm_affines(network);
  CLayers code;
  // Activations go to and fro between two buffers.
  std::string x = "$input";
  std::string y;
  const std::vector<LayerSpec> layers = network.architecture().layers();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerSpec& layer = layers[i];
    const auto index = static_cast<std::size_t>(layer.index);
    const auto name = [&](const char* what) { return fmt::format("@_{}_{}", i, what); };
    switch (layer.kind) {
      case LayerSpec::Kind::linear: {
        const bool last = i + 1 == layers.size();
        y = last ? "logits" : layer.index % 2 == 0 ? "a" : "b";
        code.arrays += array(name("weight"), network.parameters.weight[index]);
        code.arrays += array(name("bias"), network.parameters.bias[index]);
        code.floats += layer.inputs * layer.outputs + layer.outputs;
        const std::string inputs = i == 0 ? "@_inputs" : std::to_string(layer.inputs);
        code.calls += fmt::format("  @_linear{}({}, {}, {}, {}, {}, {});\n", i == 0 ? "#" : "", y, x,
                                  name("weight"), name("bias"), inputs, layer.outputs);
        x = y;
        break;
      }
      case LayerSpec::Kind::activation:
        code.calls += fmt::format("  @_{}({}, {});\n", c_function(layer.activation).name, y, layer.outputs);
        break;
      case LayerSpec::Kind::batch_norm:
        code.arrays += array(name("scale"), affines[index].scale);
        code.arrays += array(name("shift"), affines[index].shift);
        code.floats += 2 * layer.outputs;
        code.calls +=
            fmt::format("  @_batch_norm({}, {}, {}, {});\n", y, name("scale"), name("shift"), layer.outputs);
        break;
    }
  }
  return code;
}

// From pixels, 0 to 255 or 0 to 1, through the layers. `input`: what the first one takes.
std::string logits_function(std::string calls, const std::string& declared, bool bytes,
                            const char* input = "pixels") {
  replace_all(calls, "#", bytes ? "_of_bytes" : "");
  replace_all(calls, "$input", input);
  return fmt::format(
      "\n/* Pixels row by row, {}, to logits. */\n"
      "static inline void @_logits{}(float logits[@_classes], const {} pixels[@_inputs]) {{\n{}{}}}\n",
      bytes ? "0 to 255" : "0 to 1", bytes ? "_of_bytes" : "", bytes ? "unsigned char" : "float", declared,
      calls);
}

}  // namespace

std::string c_prefix(const std::filesystem::path& path) {
  std::string prefix = path.stem().string();
  const auto is_in_names = [](unsigned char c) { return c < 0x80 && (std::isalnum(c) != 0 || c == '_'); };
  std::replace_if(
      prefix.begin(), prefix.end(), [&](char c) { return !is_in_names(c); }, '_');
  // Names that begin with an underscore belong to the compiler.
  const bool good = !prefix.empty() && std::isalpha(static_cast<unsigned char>(prefix.front())) != 0;
  return good ? prefix : "model" + prefix;
}

std::string to_c_header(const Model& model, const std::string& prefix) {
  const Network& network = *model.network;
  const Architecture& architecture = network.architecture();
  const CLayers layers = c_layers(network);
  const std::int64_t width = architecture.widest_hidden();
  const std::int64_t buffers = std::min<std::int64_t>(architecture.linear_layers() - 1, 2);
  const std::string declared = buffers == 0   ? ""
                               : buffers == 1 ? fmt::format("  float a[{}];\n", width)
                                              : fmt::format("  float a[{0}], b[{0}];\n", width);
  std::string code = c_sizes(model) + layers.arrays + functions + c_softmax;
  const bool deskew = model.info.deskew;
  if (deskew) code += c_deskew;
  if (!deskew) code += logits_function(layers.calls, declared, false);
  code += logits_function(
      layers.calls,
      deskew ? declared + "  unsigned char upright[@_inputs];\n  @_deskew(upright, pixels);\n" : declared,
      true, deskew ? "upright" : "pixels");
  if (deskew) code += c_logits_by_bytes;
  replace_all(code, "$activation", c_source(c_function(architecture.activation)));
  const std::string summary =
      fmt::format("{}, by handgrad. {} bytes of constants, about {} of stack.", architecture.description(),
                  4 * layers.floats, 4 * buffers * width + (deskew ? 2 * architecture.inputs : 0));
  return c_file(model, summary, "#include <math.h>\n#include <stddef.h>\n", code, prefix);
}

}  // namespace handgrad
