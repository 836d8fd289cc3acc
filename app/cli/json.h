// JSON as the program writes and reads it: keys stay in order.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace handgrad::app {

using Json = nlohmann::ordered_json;

// JSON as text; bytes that are not UTF-8, as a path may have, are replaced. indent −1: on one line.
std::string to_text(const Json& json, int indent);

// A file of a run. Throws FileError or ModelError.
Json read_json(const std::filesystem::path& path);

// A file of a run with JSON on each line. Throws the same.
std::vector<Json> read_json_lines(const std::filesystem::path& path);

}  // namespace handgrad::app
