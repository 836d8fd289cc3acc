// JSON, read and written.
#include "cli/json.h"

#include <fmt/format.h>

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

}  // namespace handgrad::app
