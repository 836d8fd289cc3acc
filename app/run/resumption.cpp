// Whether training that goes on is still the same training.
#include "run/resumption.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/settings.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"

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
  circumstances.data_sha256 = state.string(data_text);
  circumstances.platform = state.string(platform_text);
  circumstances.inherited.training_config = state.string(inherited_text);
  circumstances.inherited.batch_norm_folded = state.string(folded_text) == "true";
  return circumstances;
}

// Whether the earlier training's value of a setting may become another one now.
bool may_become(const Setting& setting, const Settings& earlier, const Settings& now) {
  switch (setting.role) {
    case Setting::Role::machine:
      return true;
    case Setting::Role::length:
      if (earlier.training.schedule.has_end()) break;
      return json_of(setting, now) >= json_of(setting, earlier);
    case Setting::Role::decides:
    case Setting::Role::per_network:
    case Setting::Role::of_run:
    case Setting::Role::rounding:
      break;
  }
  return setting.text(now) == setting.text(earlier);
}

void check_settings(const Json& earlier_config, const Json& now_config) {
  const Settings earlier = settings_of_run(earlier_config, "the checkpoint");
  const Settings now = settings_of_run(now_config, "the settings");
  for (const Setting& setting : settings_table()) {
    if (may_become(setting, earlier, now)) continue;
    throw ModelError(
        fmt::format("--resume: the run has {} {}, not {}; {}", setting.name,
                    to_text(json_of(setting, earlier), -1), to_text(json_of(setting, now), -1),
                    setting.role == Setting::Role::length && !earlier.training.schedule.has_end()
                        ? fmt::format("give more, or leave --{} out", flag_of(setting.name))
                        : fmt::format("leave --{} out, or begin another run", flag_of(setting.name))));
  }
  for (const char* key : {"init", init_sha256}) {
    if (!earlier_config.contains(key) || earlier_config.at(key) == now_config.value(key, Json())) continue;
    throw ModelError(fmt::format("--resume: the run has {} {}, not {}; begin another run", key,
                                 to_text(earlier_config.at(key), -1),
                                 to_text(now_config.value(key, Json()), -1)));
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

void go_on_as(Circumstances& now, const Json& config, const std::optional<TrainingState>& state,
              const std::string& data) {
  for (const char* key : {"init", init_sha256, chosen_by}) {
    if (config.contains(key)) now.config[key] = config.at(key);
  }
  if (!state) return check_settings(config, now.config);
  const Circumstances earlier = circumstances_of(*state);
  check_settings(earlier.config, now.config);  // first: some of them make other data of the same files
  if (earlier.data_sha256 != now.data_sha256) {
    throw DataError(fmt::format(
        "{}: is not the data that the run was trained on (another SHA-256); name it with --data", data));
  }
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
