// A network as C99 source: its parameters as constant arrays, and the loops that read them.
#include "handgrad/models/c_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "handgrad/base/errors.h"

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
  std::string text = fmt::format("static const float {}[{}] = {{", name, values.numel());
  const float* value = values.data_ptr<float>();
  std::size_t column = 0;
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const std::string number = literal(value[i]) + ',';
    if (i == 0 || column + number.size() > 100) {
      text += "\n ";
      column = 1;
    }
    text += ' ' + number;
    column += 1 + number.size();
  }
  text.back() = '\n';  // takes the place of the last comma
  return text + "};\n";
}

// Text of whoever wrote the model, which must not end the comment: a compiler joins lines at a backslash and,
// in C99, replaces trigraphs before it looks for the end.
std::string in_comment(const std::string& text) {
  std::string safe;
  for (const char letter : text) {
    const bool plain = static_cast<unsigned char>(letter) >= 0x20 && letter != 0x7f && letter != '\\';
    const char last = safe.empty() ? ' ' : safe.back();
    const bool opens = (last == '/' && letter == '*') || (last == '*' && letter == '/');
    if (opens || (last == '?' && letter == '?')) safe += ' ';
    safe += plain ? letter : ' ';
  }
  return safe;
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

/* Logits to probabilities, in place. */
static inline void @_softmax(float values[@_classes]) {
  float largest = values[0];
  float sum = 0.0f;
  for (size_t c = 1; c < @_classes; ++c) {
    if (values[c] > largest) largest = values[c];
  }
  for (size_t c = 0; c < @_classes; ++c) {
    values[c] = expf(values[c] - largest);
    sum += values[c];
  }
  for (size_t c = 0; c < @_classes; ++c) values[c] /= sum;
}

/* The class with the largest logit or probability. */
static inline int @_best(const float values[@_classes]) {
  size_t best = 0;
  for (size_t c = 1; c < @_classes; ++c) {
    if (values[c] > values[best]) best = c;
  }
  return (int)best;
}
)";

// What deskewed() does.
constexpr const char* deskew_function = R"(
/* Bytes in, bytes out: a leaning image is set upright, by its second moments, and into the middle. */
static inline void @_deskew(unsigned char upright[@_inputs], const unsigned char pixels[@_inputs]) {
  long long m = 0, x_sum = 0, y_sum = 0, xy_sum = 0, yy_sum = 0;
  for (int y = 0; y < @_rows; ++y) {
    for (int x = 0; x < @_columns; ++x) {
      const long long p = pixels[y * @_columns + x];
      m += p;
      x_sum += x * p;
      y_sum += y * p;
      xy_sum += x * (y * p);
      yy_sum += y * (y * p);
    }
  }
  const double mass = m > 0 ? (double)m : 1.0;
  const double cx = (double)x_sum / mass;
  const double cy = (double)y_sum / mass;
  const double xy = (double)xy_sum / mass - cx * cy;
  const double yy = (double)yy_sum / mass - cy * cy;
  double slant = xy / (yy > 1e-6 ? yy : 1e-6);
  if (slant > 1.0) slant = 1.0;
  if (slant < -1.0) slant = -1.0;
  /* The place of the original that a pixel comes from: whole pixels, and the rest in 1/256. */
  const double middle_x = (@_columns - 1) / 2.0;
  const double middle_y = (@_rows - 1) / 2.0;
  const double down = floor(256.0 * (cy - middle_y) + 0.5);
  const int whole_down = (int)floor(down / 256.0);
  const int below = (int)down - 256 * whole_down;
  for (int row = 0; row < @_rows; ++row) {
    const double along = floor(256.0 * (slant * (row - middle_y) + (cx - middle_x)) + 0.5);
    const int whole_along = (int)floor(along / 256.0);
    const int right = (int)along - 256 * whole_along;
    for (int column = 0; column < @_columns; ++column) {
      int sum = 32768;
      for (int corner = 0; corner < 4; ++corner) {
        const int x = column + whole_along + corner % 2;
        const int y = row + whole_down + corner / 2;
        if (x < 0 || x >= @_columns || y < 0 || y >= @_rows) continue;
        sum += (corner % 2 ? right : 256 - right) * (corner / 2 ? below : 256 - below) * pixels[y * @_columns + x];
      }
      upright[row * @_columns + column] = (unsigned char)(sum / 65536);
    }
  }
}
)";

// What takes pixels of 0 to 1 where those of 0 to 255 go their own way.
constexpr const char* logits_by_bytes = R"(
/* Pixels row by row, 0 to 1, to logits. A number is taken for the nearest byte. */
static inline void @_logits(float logits[@_classes], const float pixels[@_inputs]) {
  unsigned char bytes[@_inputs];
  for (size_t i = 0; i < @_inputs; ++i) {
    const float byte = floorf(pixels[i] * 255.0f + 0.5f);
    bytes[i] = (unsigned char)(byte > 255.0f ? 255.0f : byte > 0.0f ? byte : 0.0f);
  }
  @_logits_of_bytes(logits, bytes);
}
)";

void replace_all(std::string& text, const std::string& mark, const std::string& by) {
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size())) {
    text.replace(at, mark.size(), by);
  }
}

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
  std::string code =
      fmt::format("enum {{ @_rows = {}, @_columns = {}, @_inputs = {}, @_classes = {} }};\n\n",
                  model.info.shape.rows, model.info.shape.columns, architecture.inputs, architecture.classes);
  code += layers.arrays + functions;
  const bool deskew = model.info.deskew;
  if (deskew) code += deskew_function;
  if (!deskew) code += logits_function(layers.calls, declared, false);
  code += logits_function(
      layers.calls,
      deskew ? declared + "  unsigned char upright[@_inputs];\n  @_deskew(upright, pixels);\n" : declared,
      true, deskew ? "upright" : "pixels");
  if (deskew) code += logits_by_bytes;
  replace_all(code, "$activation", c_source(c_function(architecture.activation)));
  replace_all(code, "@", prefix);

  std::string text = fmt::format("/* {}, by handgrad. {} bytes of constants, about {} of stack.\n",
                                 architecture.description(), 4 * layers.floats,
                                 4 * buffers * width + (deskew ? 2 * architecture.inputs : 0));
  for (const auto& [key, value] : metadata_of(model)) {
    text += fmt::format("   {}: {}\n", key, in_comment(value));
  }
  return text + fmt::format(
                    "*/\n#ifndef {0}_handgrad_header\n#define {0}_handgrad_header\n\n#include <math.h>\n"
                    "#include <stddef.h>\n\n{1}\n#endif\n",
                    prefix, code);
}

}  // namespace handgrad
