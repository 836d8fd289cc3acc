// What validation chose in a run: for --train-on-all, which trains on the images of the validation set too.
#pragma once

#include <optional>
#include <string>

#include "cli/json.h"
#include "cli/options.h"

namespace handgrad::app {

struct Choice {       // NOLINT(bugprone-exception-escape): of the JSON library's move
  std::string run;    // its directory, found from anywhere
  Json config;        // its settings, but without a validation set, and with what was chosen
  std::string words;  // "37 epochs, no moving average"
};

// Of the run that --train-on-all names; none without the flag. Throws UsageError for flags that contradict
// it, FileError where the new run would replace that one, and FileError or ModelError where it is no run of
// one network that is finished and has a validation set.
std::optional<Choice> read_choice(const Options& options);

}  // namespace handgrad::app
