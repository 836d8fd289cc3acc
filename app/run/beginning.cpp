// The network that --init has training begin with.
#include "run/beginning.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/files/sha256.h"
#include "handgrad/train/settings.h"
#include "run/resumption.h"
#include "run/saved_model.h"

namespace handgrad::app {

std::optional<Beginning> read_beginning(Options& options, const Json& config) {
  const std::string& name = options.text("init");
  if (name == "none") return std::nullopt;
  const std::filesystem::path file = find_model(name, 0).file;
  const Bytes bytes = read_file(file);
  Beginning beginning{std::filesystem::absolute(file).lexically_normal().string(),
                      Sha256().update(as_text(bytes)).hex(), load_model(bytes, file.string())};
  if (!options.given("init") && config.value(init_sha256, beginning.sha256) != beginning.sha256) {
    throw ModelError(fmt::format(
        "--init: {} is not what the run began with, its SHA-256 is another; bring that file back, "
        "or begin another run with --init",
        beginning.file));
  }
  const Architecture& architecture = beginning.model.network->architecture();
  for (const auto& [name, value] : architecture_settings(architecture)) options.preset(flag_of(name), value);
  if (beginning.model.info.deskew) options.preset("deskew", "true");
  return beginning;
}

void begin_with(Network& network, const Beginning& beginning, ImageShape images) {
  const Architecture& ours = network.architecture();
  const Architecture& theirs = beginning.model.network->architecture();
  if (ours.description() != theirs.description()) {
    throw ModelError(
        fmt::format("--init: {} holds {}, but flags and data ask for {}; choose another file, or "
                    "leave out --hidden, --batch-norm, --activation and --classes",
                    beginning.file, theirs.description(), ours.description()));
  }
  const ImageShape& shape = beginning.model.info.shape;
  if (!shape.takes(images)) {
    throw ModelError(
        fmt::format("--init: {} takes {} × {} images, but those to train on are {} × {}; choose another file",
                    beginning.file, shape.rows, shape.columns, images.rows, images.columns));
  }
  copy_networks(network.parameters, network.running, beginning.model.network->parameters,
                beginning.model.network->running, {0});
}

}  // namespace handgrad::app
