// What the C headers of networks have in common.
#include "handgrad/models/c_text.h"

#include <fmt/format.h>

#include <cctype>
#include <string_view>

namespace handgrad {

namespace {

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

// The literal of these bytes. Only letters, digits and a few marks stand as they are: the others could end it, be a
// trigraph, or be taken for what is put in place of marks later. Three octal digits end by themselves.
std::string c_string(const std::string& bytes) {
  constexpr std::string_view plain_marks = " -_.,:;/+*()";
  std::string literal = "\"";
  for (const char letter : bytes) {
    const auto byte = static_cast<unsigned char>(letter);
    const bool plain =
        byte < 0x80 && (std::isalnum(byte) != 0 || plain_marks.find(letter) != std::string_view::npos);
    literal += plain ? std::string(1, letter) : fmt::format("\\{:03o}", byte);
  }
  return literal + '"';
}

}  // namespace

void replace_all(std::string& text, const std::string& mark, const std::string& by) {
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size())) {
    text.replace(at, mark.size(), by);
  }
}

std::string c_array(const std::string& type, const std::string& name,
                    const std::vector<std::string>& numbers) {
  std::string text = fmt::format("static const {} {}[{}] = {{", type, name, numbers.size());
  std::size_t column = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::string number = numbers[i] + ',';
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

std::string c_sizes(const Model& model) {
  const Architecture& architecture = model.network->architecture();
  std::string text =
      fmt::format("enum {{ @_rows = {}, @_columns = {}, @_inputs = {}, @_classes = {} }};\n\n",
                  model.info.shape.rows, model.info.shape.columns, architecture.inputs, architecture.classes);
  if (model.info.class_names.empty()) return text;
  text +=
      "/* What the classes are called, in UTF-8. */\nstatic const char *const @_class_names[@_classes] = {";
  for (const std::string& name : model.info.class_names) text += fmt::format("\n  {},", c_string(name));
  text.back() = '\n';
  return text + "};\n\n";
}

const char* const c_softmax = R"(
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

const char* const c_deskew = R"(
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

const char* const c_logits_by_bytes = R"(
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

std::string c_file(const Model& model, const std::string& summary, const std::string& includes,
                   std::string code, const std::string& prefix) {
  replace_all(code, "@", prefix);
  std::string text = fmt::format("/* {}\n", summary);
  for (const auto& [key, value] : metadata_of(model)) {
    text += fmt::format("   {}: {}\n", key, in_comment(value));
  }
  return text +
         fmt::format("*/\n#ifndef {0}_handgrad_header\n#define {0}_handgrad_header\n\n{1}\n{2}\n#endif\n",
                     prefix, includes, code);
}

}  // namespace handgrad
