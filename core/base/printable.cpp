// Names from outside in messages.
#include "handgrad/base/printable.h"

#include <fmt/format.h>

#include <algorithm>

namespace handgrad {

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
