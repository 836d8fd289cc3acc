// Names from outside in messages.
#include "handgrad/base/printable.h"

#include <fmt/format.h>

#include <algorithm>

namespace handgrad {

namespace {

// How many bytes the character at the beginning of `text` has, in UTF-8 as RFC 3629 has it; 0: it is none.
std::size_t character_size(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool outside = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return overlong || outside ? 0 : size;
}

bool is_control_character(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  const bool upper = first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;  // U+0080 to U+009F
  return first < 0x20 || first == 0x7f || upper;
}

}  // namespace

std::string visible(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(size, 1));
    if (size > 0 && !is_control_character(character)) {
      result += character;
    } else {
      for (const char byte : character) result += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    }
    text.remove_prefix(character.size());
  }
  return result;
}

std::string printable(std::string_view name) {
  if (name.empty()) return "(empty name)";
  std::string line(name);
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  std::replace_if(line.begin(), line.end(), is_control, '?');
  return line;
}

std::string printable_excerpt(std::string_view name) {
  constexpr std::size_t longest = 100;
  return name.size() <= longest ? printable(name) : printable(name.substr(0, longest)) + "...";
}

std::string printable_list(std::size_t count, const std::function<std::string(std::size_t)>& name) {
  constexpr std::size_t most = 30;
  std::string list;
  for (std::size_t i = 0; i < std::min(count, most); ++i) list += (i == 0 ? "" : ", ") + name(i);
  if (count > most) list += fmt::format(" and {} more", count - most);
  return list.empty() ? "nothing" : list;
}

}  // namespace handgrad
