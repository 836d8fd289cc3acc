// The flags that describe data, network and training.
#include "cli/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/numbers.h"
#include "handgrad/platform/system.h"
#include "handgrad/train/compat.h"

namespace handgrad::app {

namespace {

constexpr std::array<const char*, 4> data_settings = {"classes", "image_size", "test_fraction",
                                                      "skip_unreadable"};

constexpr std::array<const char*, 2> test_data_settings = {"test_fraction", "skip_unreadable"};

constexpr const char* no_cuda_graph = "no-cuda-graph";

// A data set as it can be found from any directory.
std::string portable_source(const std::string& source) {
  return source == synthetic_name ? source : std::filesystem::absolute(source).lexically_normal().string();
}

std::optional<std::string> find_data_source(const Options& options) {
  if (!options.text("data").empty()) return options.text("data");
  const char* environment = std::getenv("MNIST_DIR");
  if (environment != nullptr && *environment != '\0') return environment;
  if (std::filesystem::is_directory(default_data_directory)) return default_data_directory;
  return std::nullopt;
}

void add_flag(Options& options, const Setting& setting, const std::string& default_value) {
  const std::string flag = flag_of(setting.name);
  if (setting.kind == Setting::Kind::toggle) {
    options.toggle(flag, setting.words, setting.placeholder, setting.help);
  } else {
    options.value(flag, default_value, setting.placeholder, setting.help);
  }
}

void read(const Options& options, const Setting& setting, Settings& settings) {
  const std::string flag = flag_of(setting.name);
  if (!setting.read(settings, options.text(flag))) throw options.wrong(flag, setting.allowed);
}

void require_shards(const Settings& settings) {
  const std::int64_t shards = settings.network.shards;
  const bool by_shard = settings.network.batch_norm.statistics == BatchNormOptions::Statistics::shard;
  if (by_shard && (shards == 1 || !settings.shape.has_batch_norm())) {
    throw UsageError(
        "--batch-norm-statistics: shard needs --batch-norm and --shards 2 or more, without which it changes "
        "nothing; add them");
  }
  const std::int64_t images = by_shard ? 2 : 1;  // of a shard
  if (shards * images > settings.training.batch_size) {
    throw UsageError(fmt::format("--shards: got {}, but a batch has {}; must be at most {}", shards,
                                 counted(settings.training.batch_size, "image"),
                                 by_shard ? "half of that, so that batch norm has 2 in each" : "that"));
  }
}

// What is allowed of each setting by itself, but not together.
void require_sense(const Options& options, const Settings& settings) {
  const bool is_notebook = options.text("compat") == "notebook";
  const bool batch_norm = settings.shape.batch_norm != BatchNormPlace::none;
  for (const CompatSwitch& fault : compat_switches()) {
    if (fault.is_on(settings) && fault.needs_batch_norm && !batch_norm && !is_notebook) {
      throw UsageError(fmt::format(
          "--compat: {} needs --batch-norm, without which it changes nothing; add that flag", fault.name));
    }
  }
  require_shards(settings);
  const OptimizerOptions& optimizer = settings.training.optimizer;
  if (optimizer.weight_decay > 0 && optimizer.decayed == OptimizerOptions::Decayed::all &&
      !settings.network.batch_norm.backward && batch_norm) {
    throw UsageError(
        "--compat: bn-no-backward keeps γ and β as they are, which --weight-decay does not; use --l2, or "
        "--weight-decay-on weights");
  }
  if (optimizer.weight_decay > 0 && options.given("l2") && settings.training.l2.front() > 0) {
    throw UsageError("--weight-decay: takes the place of --l2; give one of the two");
  }
  if (optimizer.kind == OptimizerOptions::Kind::adamw &&
      optimizer.decay == OptimizerOptions::Decay::coupled) {
    throw UsageError("--weight-decay-form: coupled decay makes adam of adamw; use --optimizer adam");
  }
  if (settings.training.reestimate_batch_norm &&
      (!settings.shape.has_batch_norm() || !settings.network.batch_norm.evaluate_with_running_average)) {
    throw UsageError(
        "--reestimate-batch-norm: needs --batch-norm, and no --compat bn-batch-stats, else nobody uses the "
        "statistics; leave it out");
  }
  const RateScheduleOptions& schedule = settings.training.schedule;
  if (!schedule.has_end() && schedule.final_rate) {
    throw UsageError("--final-rate: a constant rate has none; add --schedule cosine or step");
  }
  if (!schedule.has_end() && settings.training.augment_final != 1) {
    throw UsageError("--augment-final: a constant rate leads nowhere; add --schedule cosine or step");
  }
}

}  // namespace

void add_flag(Options& options, const std::string& name) {
  add_flag(options, setting(name), setting(name).text(Settings()));
}

void add_flags(Options& options, const std::vector<Setting::Group>& groups) {
  for (const Setting::Group group : groups) {
    for (const Setting& setting : settings_table()) {
      if (setting.group == group) add_flag(options, setting.name);
    }
  }
}

void add_device_flags(Options& options, const std::string& default_device) {
  add_flag(options, setting("device"), default_device);
  options.toggle(no_cuda_graph,
                 "on a GPU: launch each operation by itself, to compare; the results are the same");
  add_flag(options, "tf32");
}

void add_machine_flags(Options& options) {
  add_device_flags(options);
  add_flag(options, "threads");
}

at::Device read_device(const Options& options) {
  const at::Device device = choose_device(options.text("device"));
  for (const char* flag : {no_cuda_graph, "tf32"}) {
    if (device.is_cpu() && options.on(flag)) {
      throw DeviceError(fmt::format("--{}: is for a GPU, but this runs on the CPU; leave it out", flag));
    }
  }
  allow_tf32(options.on("tf32"));
  return device;
}

std::string data_source(const Options& options) {
  if (const auto source = find_data_source(options)) return *source;
  throw UsageError(
      fmt::format("--data: not given, MNIST_DIR is not set and there is no {}; name a directory, run "
                  "scripts/fetch_data.sh mnist, or use `--data synthetic`",
                  default_data_directory));
}

std::string data_source_or_synthetic(const Options& options) {
  return find_data_source(options).value_or(synthetic_name);
}

void add_data_flags(Options& options) {
  for (const char* name : data_settings) add_flag(options, name);
}

DataRequest read_data_request(const Options& options, const std::string& source) {
  Settings settings;
  settings.data = source;
  for (const char* name : data_settings) read(options, setting(name), settings);
  return settings.data_request();
}

void add_test_data_flags(Options& options) {
  for (const char* name : test_data_settings) add_flag(options, name);
}

void take_given_flags(DataRequest& request, const Options& options) {
  Settings settings;
  settings.test_fraction = request.test_fraction;
  settings.skip_unreadable = request.skip_unreadable;
  for (const char* name : test_data_settings) {
    if (options.given(flag_of(name))) read(options, setting(name), settings);
  }
  request.test_fraction = settings.test_fraction;
  request.skip_unreadable = settings.skip_unreadable;
}

DataRequest data_request_of(const Json& config, const std::string& file) {
  Json part;
  part["data"] = config.at("data");
  for (const char* name : data_settings) {
    if (config.contains(name)) part[name] = config.at(name);
  }
  return settings_of(part, file).data_request();
}

Json data_request_json(const Options& options) {
  Settings settings;
  Json json;
  for (const char* name : data_settings) {
    read(options, setting(name), settings);
    json[name] = json_of(setting(name), settings);
  }
  return json;
}

std::optional<int> read_threads(const Options& options) {
  Settings settings;
  read(options, setting("threads"), settings);
  if (!settings.threads) return std::nullopt;
  return static_cast<int>(*settings.threads);
}

const std::vector<std::string>& augmentation_settings() {
  static const std::vector<std::string> names = {"augment", "rotation", "scale", "shear", "shift", "elastic"};
  return names;
}

AugmentOptions read_augmentation(const Options& options) {
  Settings settings;
  for (const std::string& name : augmentation_settings()) read(options, setting(name), settings);
  return settings.training.augment.options();
}

Settings read_settings(const Options& options, bool needs_data) {
  Settings settings;
  for (const Setting& setting : settings_table()) read(options, setting, settings);
  if (needs_data) settings.data = data_source(options);
  require_sense(options, settings);
  if (settings.training.optimizer.weight_decay > 0) settings.training.l2 = {0};
  settings.training.cuda_graph = !options.on(no_cuda_graph);
  settings.pass_on();
  validate(settings.training, settings.shape, settings.replicas);
  return settings;
}

std::string config_data(const Options& options) {
  return portable_source(data_source(options));
}

Json json_of(const Setting& setting, const Settings& settings) {
  const std::string text = setting.text(settings);
  switch (setting.kind) {
    case Setting::Kind::toggle:
      if (text == "true" || text == "false") return text == "true";
      break;
    case Setting::Kind::whole:
      if (const auto number = parse_integer(text)) return *number;
      break;
    case Setting::Kind::real:
      if (const auto number = parse_number(text)) return *number;
      break;
    case Setting::Kind::text:
      break;
  }
  return text;
}

Json config_json(const Settings& settings) {
  Json config = {{"version", version()}};
  for (const Setting& setting : settings_table()) config[setting.name] = json_of(setting, settings);
  config["data"] = portable_source(settings.data);
  return config;
}

Settings settings_of(const Json& config, const std::string& file) {
  Settings settings;
  for (const Setting& setting : settings_table()) {
    if (!config.contains(setting.name)) continue;
    const std::string text = value_text(config.at(setting.name));
    if (setting.read(settings, text)) continue;
    throw ModelError(fmt::format("{}: is not the configuration of a run: {} is {}; must be {}", file,
                                 setting.name, text, setting.allowed));
  }
  settings.pass_on();
  return settings;
}

Settings settings_of_run(const Json& config, const std::string& file) {
  // What every version wrote, and other files of that name hardly have together.
  for (const char* key : {"data", "version", "hidden", "seed", "epochs", "learning_rate"}) {
    if (config.is_object() && config.contains(key)) continue;
    throw ModelError(fmt::format("{}: is not the configuration of a run: it has no {}", file, key));
  }
  return settings_of(config, file);
}

std::string training_text(Json config, std::uint64_t seed, std::uint64_t data_seed,
                          const std::string& data_sha256) {
  for (const Setting& setting : settings_table()) {
    if (setting.role == Setting::Role::machine) config.erase(setting.name);
  }
  // The version is said elsewhere; where other files are, and what else was written, is of the machine.
  for (const char* key : {"version", "init", "log", chosen_by}) config.erase(key);
  config["replicas"] = 1;
  config["seed"] = seed;
  config["data_seed"] = data_seed;
  config["data_sha256"] = data_sha256;
  return to_text(config, -1);
}

std::string with_replicas(const std::string& training, std::int64_t replicas) {
  Json config = Json::parse(training, nullptr, false);
  if (!config.is_object()) return training;
  config["replicas"] = replicas;
  return to_text(config, -1);
}

const std::vector<std::string>& config_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> names;
    for (const Setting& setting : settings_table()) names.push_back(setting.name);
    names.insert(names.end(), {"init", "log"});
    return names;
  }();
  return keys;
}

}  // namespace handgrad::app
