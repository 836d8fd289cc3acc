// JSON, read and written.
#include "cli/json.h"

#include <fmt/format.h>

#include <sstream>
#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/files/json_check.h"

namespace handgrad::app {

namespace {

constexpr std::size_t deepest_json = 64;

}  // namespace

std::string to_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json read_json(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path);
  const std::string_view text = as_text(bytes);
  if (!check_json(text, deepest_json).good)
    throw ModelError(fmt::format("{}: is not JSON; the file is damaged", path.string()));
  return Json::parse(text, nullptr, false);
}

std::vector<Json> read_json_lines(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path);
  std::istringstream stream(std::string(bytes.begin(), bytes.end()));
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) {
    Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded()) {
      throw ModelError(
          fmt::format("{}: line {} is not JSON; the file is damaged", path.string(), lines.size() + 1));
    }
    lines.push_back(std::move(json));
  }
  return lines;
}

}  // namespace handgrad::app
