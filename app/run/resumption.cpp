// Whether training that goes on is still the same training.
#include "run/resumption.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/settings.h"
#include "handgrad/base/errors.h"

namespace handgrad::app {

namespace {

constexpr const char* config_text = "config";
constexpr const char* data_text = "data_sha256";
constexpr const char* platform_text = "platform";
constexpr const char* inherited_text = "inherited";
constexpr const char* folded_text = "inherited_batch_norm_folded";

Circumstances circumstances_of(const TrainingState& state) {
  Circumstances circumstances;
  circumstances.config = Json::parse(state.string(config_text), nullptr, false);
  require_settings(circumstances.config, "the checkpoint");
  circumstances.data_sha256 = state.string(data_text);
  circumstances.platform = state.string(platform_text);
  circumstances.inherited.training_config = state.string(inherited_text);
  circumstances.inherited.batch_norm_folded = state.string(folded_text) == "true";
  return circumstances;
}

// The settings that may differ: they decide nothing about the result, or only how far it goes.
bool may_change(const std::string& key) {
  return key == "version" || key == "data" || key == "epochs" || key == "threads" || key == "device";
}

void check_settings(Json earlier, const Json& now) {
  if (!earlier.contains("tf32")) earlier["tf32"] = false;
  for (const auto& [key, value] : earlier.items()) {
    if (may_change(key) || (now.contains(key) && now.at(key) == value)) continue;
    throw ModelError(fmt::format("--resume: the run has {} {}, not {}; leave --{} out, or begin another run",
                                 key, to_text(value, -1),
                                 now.contains(key) ? to_text(now.at(key), -1) : "none", flag_of(key)));
  }
  if (now.at("epochs") < earlier.at("epochs")) {
    throw ModelError(fmt::format("--resume: the run has epochs {}, not {}; give more, or leave --epochs out",
                                 to_text(earlier.at("epochs"), -1), to_text(now.at("epochs"), -1)));
  }
}

}  // namespace

std::map<std::string, std::string> checkpoint_text(const Circumstances& circumstances) {
  return {{config_text, to_text(circumstances.config, -1)},
          {data_text, circumstances.data_sha256},
          {platform_text, circumstances.platform},
          {inherited_text, circumstances.inherited.training_config},
          {folded_text, circumstances.inherited.batch_norm_folded ? "true" : "false"}};
}

void require_settings(const Json& config, const std::string& file) {
  for (const std::string& key : config_keys()) {
    // Not every run has the first, nor did the first version know the second.
    if (key == "init" || key == "tf32" || (config.is_object() && config.contains(key))) continue;
    throw ModelError(fmt::format("{}: is not the configuration of a run: it has no {}", file, key));
  }
}

void go_on_as(Circumstances& now, const Json& config, const std::optional<TrainingState>& state,
              const std::string& data) {
  for (const char* key : {"init", init_sha256}) {
    if (config.contains(key)) now.config[key] = config.at(key);
  }
  if (!state) return check_settings(config, now.config);
  const Circumstances earlier = circumstances_of(*state);
  if (earlier.data_sha256 != now.data_sha256) {
    throw DataError(fmt::format(
        "{}: is not the data that the run was trained on (another SHA-256); name it with --data", data));
  }
  check_settings(earlier.config, now.config);
  now.inherited = earlier.inherited;
  if (earlier.platform != now.platform) {
    warn(fmt::format("the run was computed by {}, it goes on with {}: the last bits of the result may differ",
                     earlier.platform, now.platform));
  }
}

void warn(const std::string& text) {
  std::fputs(fmt::format("warning: {}\n", printable(text)).c_str(), stderr);
}

}  // namespace handgrad::app
