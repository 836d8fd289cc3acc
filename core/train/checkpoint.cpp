// The file of a checkpoint.
#include "handgrad/train/checkpoint.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/sha256.h"

namespace handgrad {

namespace {

constexpr const char* version_key = "checkpoint_version";
constexpr const char* version_text = "1";
constexpr const char* checksum_key = "sha256";

// The checksum of a file that holds its own: these stand for it while it is computed.
const std::string blank_checksum(64, '0');

// Where the checksum stands in the file; npos where it does not, or not once.
std::size_t find_checksum(std::string_view file, const std::string& checksum) {
  const std::string text = fmt::format(R"("{}":"{}")", checksum_key, checksum);
  const std::size_t found = file.find(text);
  return found == std::string_view::npos ? found : found + text.size() - 1 - checksum.size();
}

}  // namespace

std::string seal_checkpoint(Safetensors contents) {
  contents.metadata[version_key] = version_text;
  contents.metadata[checksum_key] = blank_checksum;
  std::string file = serialize_safetensors(contents);
  file.replace(find_checksum(file, blank_checksum), blank_checksum.size(), Sha256().update(file).hex());
  return file;
}

Safetensors open_checkpoint(std::string_view file, const std::string& name) {
  Safetensors contents = parse_safetensors(file, name);
  const std::string checksum = contents.metadata[checksum_key];
  const std::string version = contents.metadata[version_key];
  const std::size_t place = find_checksum(file, checksum);
  const bool sealed = checksum.size() == blank_checksum.size() && place != std::string_view::npos;
  if (!sealed || Sha256().update(file.substr(0, place))
                         .update(blank_checksum)
                         .update(file.substr(place + checksum.size()))
                         .hex() != checksum) {
    throw ModelError(
        fmt::format("{}: is damaged: its checksum is not that of its contents", printable(name)));
  }
  if (version != version_text) {
    throw ModelError(
        fmt::format("{}: is a checkpoint of format version {}, but this handgrad reads version {}; "
                    "use the handgrad that wrote it",
                    printable(name), printable(version), version_text));
  }
  return contents;
}

}  // namespace handgrad
