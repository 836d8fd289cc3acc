// A TOML file as tables.
#include "sweep/toml_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

// depth: of how many other files it is the base.
toml::table read_table(const std::string& file, int depth) {
  toml::table table = parse_table(as_text(read_file(file)), file);
  if (!table.contains("base")) return table;
  const auto base = table["base"].value<std::string>();
  if (!base) fail(file, "base: must be the name of a file, in quotes");
  if (depth == 4) fail(file, "base: the files are each other's base; leave one out");
  toml::table all = read_table((fs::path(file).parent_path() / *base).string(), depth + 1);
  table.erase("base");
  for (auto&& [key, value] : table) {
    toml::table* below = all.get(key.str()) != nullptr ? all.get(key.str())->as_table() : nullptr;
    if (key.str() == "fixed" && below != nullptr && value.is_table()) {
      for (auto&& [name, setting] : *value.as_table()) below->insert_or_assign(name, setting);
    } else {
      all.insert_or_assign(key, value);
    }
  }
  return all;
}

}  // namespace

toml::table read_table(const std::string& file) {
  return read_table(file, 0);
}

Json fixed_settings(const std::string& file) {
  const toml::table table = read_table(file);
  Json config = Json::object();
  for (const auto& [key, text] : texts_in(file, "[fixed]", subtable(file, table, "fixed")))
    config[key] = text;
  return config;
}

void fail(const std::string& file, const std::string& what) {
  throw Error(fmt::format("{}: {}", file, what));
}

toml::table parse_table(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    fail(file, fmt::format("line {}: {}", error.source().begin.line, error.description()));
  }
}

void require_known(const std::string& file, const std::string& place, const toml::table& table,
                   const std::vector<std::string>& known) {
  for (auto&& [key, value] : table) {
    if (std::find(known.begin(), known.end(), key.str()) == known.end()) {
      fail(file,
           fmt::format("{} has the key {}; must be one of {}", place, key.str(), fmt::join(known, ", ")));
    }
  }
}

std::string text_in(const std::string& file, const std::string& place, const toml::node& node) {
  if (const auto text = node.value<std::string>()) return *text;
  if (node.is_boolean()) return *node.value<bool>() ? "true" : "false";
  if (node.is_integer()) return fmt::format("{}", *node.value<std::int64_t>());
  if (node.is_floating_point()) return fmt::format("{}", *node.value<double>());
  fail(file, place + ": must be a number, true, false, or text in quotes");
}

Assignments texts_in(const std::string& file, const std::string& place, const toml::table& table) {
  Assignments list;
  for (auto&& [key, value] : table) {
    list.emplace_back(std::string(key.str()), text_in(file, fmt::format("{}: {}", place, key.str()), value));
  }
  return list;
}

const toml::table& subtable(const std::string& file, const toml::table& table, const char* key) {
  static const toml::table empty;
  if (!table.contains(key)) return empty;
  if (!table[key].is_table()) fail(file, fmt::format("[{}]: must be a table", key));
  return *table[key].as_table();
}

std::vector<const toml::table*> tables(const std::string& file, const toml::table& table, const char* key) {
  std::vector<const toml::table*> list;
  if (!table.contains(key)) return list;
  const toml::array* array = table[key].as_array();
  if (array == nullptr) fail(file, fmt::format("{0}: must be tables, each beginning with [[{0}]]", key));
  for (const toml::node& node : *array) {
    if (!node.is_table()) fail(file, fmt::format("{0}: must be tables, each beginning with [[{0}]]", key));
    list.push_back(node.as_table());
  }
  return list;
}

}  // namespace handgrad::app
