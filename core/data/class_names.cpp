// What the classes of a data set are called.
#include "handgrad/data/class_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>
#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/base/numbers.h"
#include "handgrad/base/printable.h"

namespace handgrad {

namespace {

constexpr std::size_t longest_name = 255;  // bytes: that of a folder

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

bool is_blank(char byte) {
  return std::isspace(static_cast<unsigned char>(byte)) != 0;
}

// Without blanks at both ends and marks of byte order in front, in whatever order they come.
std::string_view trim(std::string_view line) {
  while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
  for (;;) {
    if (!line.empty() && is_blank(line.front())) {
      line.remove_prefix(1);
    } else if (line.substr(0, byte_order_mark.size()) == byte_order_mark) {
      line.remove_prefix(byte_order_mark.size());
    } else {
      return line;
    }
  }
}

// Without line ends of any system, and without empty lines at the end.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(trim(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

[[noreturn]] void refuse(const std::string& file, std::size_t line, const std::string& fault) {
  throw DataError(fmt::format("{}: line {} {}", printable(file), line + 1, fault));
}

std::string lower_case(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return name;
}

bool is_number(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Of any length: without leading zeros the longer one is larger.
std::pair<std::size_t, std::string> size_of(const std::string& number) {
  const std::string digits = number.substr(std::min(number.find_first_not_of('0'), number.size()));
  return {digits.size(), digits};
}

// The character of this code in ASCII, which is what the files hold.
std::string character_of(std::int64_t code) {
  return code > ' ' && code < 0x7f ? std::string(1, static_cast<char>(code)) : fmt::format("U+{:04X}", code);
}

}  // namespace

std::string class_name(const ClassNames& names, std::int64_t label) {
  const auto place = static_cast<std::size_t>(label);
  return place < names.size() ? names[place] : std::to_string(label);
}

ClassNames parse_labels(std::string_view text, const std::string& file) {
  const std::vector<std::string> lines = lines_of(text);
  ClassNames names;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) {
      refuse(file, i, fmt::format("is empty; it must name class {}", i));
    }
    if (lines[i].size() > longest_name) {
      refuse(file, i, fmt::format("is longer than {} bytes; shorten the name", longest_name));
    }
    names.push_back(visible(lines[i]));
  }
  require_class_count(names.size(), file);
  require_distinct(names, file, LetterCase::differs);
  return names;
}

ClassNames parse_mapping(std::string_view text, std::int64_t first_label, const std::string& file) {
  const std::vector<std::string> lines = lines_of(text);
  std::map<std::int64_t, std::string> by_label;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::istringstream words(lines[i]);
    std::string label;
    std::string code;
    words >> label >> code;
    const auto number = parse_integer(label);
    const auto letter = parse_integer(code);
    if (!number || !letter || *number < 0 || *letter < 0 || *letter > 0x10ffff) {
      refuse(file, i,
             fmt::format("is `{}`; it must be a label and the code of its character, such as 10 65",
                         printable_excerpt(lines[i])));
    }
    if (!by_label.emplace(*number, character_of(*letter)).second) {
      refuse(file, i, fmt::format("names label {} again; each must be named once", *number));
    }
  }
  require_class_count(by_label.size(), file);
  ClassNames names;
  for (const auto& [label, name] : by_label) {
    const std::int64_t expected = first_label + static_cast<std::int64_t>(names.size());
    if (label != expected) {
      throw DataError(fmt::format("{}: names label {} but not {}; labels must be named from {} on",
                                  printable(file), label, expected, first_label));
    }
    names.push_back(name);
  }
  return names;
}

bool is_before(const std::string& one, const std::string& other) {
  const bool number = is_number(one);
  if (number != is_number(other)) return number;
  if (number && size_of(one) != size_of(other)) return size_of(one) < size_of(other);
  return one < other;
}

void require_class_count(std::size_t count, const std::string& source) {
  if (count >= 2 && count <= static_cast<std::size_t>(most_classes)) return;
  throw DataError(fmt::format("{}: has {} {}; there must be 2 to {}", printable(source), count,
                              count == 1 ? "class" : "classes", most_classes));
}

void require_distinct(const ClassNames& names, const std::string& source, LetterCase letters) {
  std::map<std::string, std::string> known;
  for (const std::string& name : names) {
    const auto [twin, is_new] = known.emplace(letters == LetterCase::differs ? name : lower_case(name), name);
    if (is_new) continue;
    throw DataError(name == twin->second
                        ? fmt::format("{}: names the class {} twice; give each a name of its own",
                                      printable(source), printable_excerpt(name))
                        : fmt::format("{}: the classes {} and {} differ in case alone, which not every file "
                                      "system tells apart; rename one, or put them together",
                                      printable(source), printable_excerpt(twin->second),
                                      printable_excerpt(name)));
  }
}

std::string list_of(const ClassNames& names) {
  return printable_list(names.size(), [&](std::size_t i) { return printable_excerpt(names[i]); });
}

}  // namespace handgrad
