// Whether training that goes on is still the same training.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cli/json.h"
#include "handgrad/models/model.h"
#include "handgrad/train/training_state.h"

namespace handgrad::app {

// What a result depends on besides the state of training.
struct Circumstances {  // NOLINT(bugprone-exception-escape): of the JSON library's move
  Json config;          // as config.json holds it
  std::string data_sha256;
  std::string platform;  // what the last bits may depend on: versions, BLAS, threads, device
  ModelInfo inherited;   // what the network that training began with said of its own training
};

// What a checkpoint says of them, beside the state.
std::map<std::string, std::string> checkpoint_text(const Circumstances& circumstances);

// Completes `now` by what only the earlier training knows, and warns on stderr where the last bits of the
// result may differ. `config`: the run's config.json; `state`: its checkpoint, where there is one; `data`:
// what messages call the data set. Throws ModelError or DataError where the result would not be that of the
// same training.
void go_on_as(Circumstances& now, const Json& config, const std::optional<TrainingState>& state,
              const std::string& data);

// Says on stderr what does not stop the program.
void warn(const std::string& text);

}  // namespace handgrad::app
