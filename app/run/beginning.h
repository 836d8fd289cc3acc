// The network that --init has training begin with.
#pragma once

#include <optional>
#include <string>

#include "cli/json.h"
#include "cli/options.h"
#include "handgrad/models/model_file.h"

namespace handgrad::app {

struct Beginning {
  std::string file, sha256;
  Model model;
};

// That of --init, or of the run whose settings were taken. Flags that were not given take its architecture.
// `config`: what the settings were taken from. Throws ModelError for a file that is not the one that the run
// began with.
std::optional<Beginning> read_beginning(Options& options, const Json& config);

// Gives its parameters to the network. Throws ModelError where it is another one, or takes other images.
void begin_with(Network& network, const Beginning& beginning, ImageShape images);

}  // namespace handgrad::app
