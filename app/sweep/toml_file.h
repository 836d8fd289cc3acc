// A TOML file as tables, and messages about what is wrong in it.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "cli/json.h"
#include "cli/toml.h"

namespace handgrad::app {

// All throw Error, naming the file and the place.
[[noreturn]] void fail(const std::string& file, const std::string& what);

toml::table parse_table(std::string_view text, const std::string& file);

// The file's table, over that of its base.
toml::table read_table(const std::string& file);

// What the file, and its base, say of the settings that all configurations share, as a run's config.json would.
Json fixed_settings(const std::string& file);

void require_known(const std::string& file, const std::string& place, const toml::table& table,
                   const std::vector<std::string>& known);

// A setting and its value, as a flag would have it.
using Assignment = std::pair<std::string, std::string>;
using Assignments = std::vector<Assignment>;

// A value as a flag would have it, and those of a table by their keys.
std::string text_in(const std::string& file, const std::string& place, const toml::node& node);
Assignments texts_in(const std::string& file, const std::string& place, const toml::table& table);

template <typename T>
T required(const std::string& file, const std::string& place, const toml::table& table, const char* key) {
  const auto value = table[key].value<T>();
  if (!value) {
    fail(file, fmt::format("{}: {} is missing, or not {}", place, key,
                           std::is_same_v<T, double> ? "a number" : "text in quotes"));
  }
  return *value;
}

// Empty where there is none.
const toml::table& subtable(const std::string& file, const toml::table& table, const char* key);
std::vector<const toml::table*> tables(const std::string& file, const toml::table& table, const char* key);

}  // namespace handgrad::app
