// HTML pages that are one file.
#include "cli/page.h"

namespace handgrad::app {

std::string fill_frame(std::string_view frame, const std::function<std::string(std::string_view)>& part) {
  constexpr std::string_view mark = "@@";
  std::string page;
  for (;;) {
    const std::size_t begin = frame.find(mark);
    page += frame.substr(0, begin);
    if (begin == std::string_view::npos) return page;
    frame.remove_prefix(begin + mark.size());
    const std::size_t end = frame.find(mark);
    page += part(frame.substr(0, end));
    frame.remove_prefix(end + mark.size());
  }
}

std::string without_tags(const std::string& json) {
  // JSON has `<` only inside strings, where the escape means the same.
  std::string safe;
  safe.reserve(json.size());
  for (const char letter : json) {
    if (letter == '<') {
      safe += "\\u003c";
    } else {
      safe += letter;
    }
  }
  return safe;
}

std::string base64(const std::uint8_t* bytes, std::size_t count) {
  constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((count + 2) / 3 * 4);
  for (std::size_t i = 0; i < count; i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < count ? bytes[i + k] : 0U);
    for (int k = 0; k < 4; ++k) text += digits[group >> (18 - 6 * k) & 63U];
    for (std::size_t k = i + 3; k > count; --k) text[text.size() - (k - count)] = '=';
  }
  return text;
}

}  // namespace handgrad::app
