// The flags that describe data, network and training: shared by all commands that need them, read once into
// the library's options, written to config.json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/options.h"
#include "handgrad/data/dataset.h"
#include "handgrad/nn/network.h"
#include "handgrad/train/trainer.h"

namespace handgrad::app {

struct DataSettings {
  std::string source;        // a directory or "synthetic"
  std::int64_t classes = 0;  // 0: as many as the labels name
  SplitOptions split;
};

struct Settings {
  DataSettings data;
  std::vector<std::int64_t> hidden;
  bool batch_norm = false;
  Compat compat;
  std::int64_t replicas = 1;
  TrainingOptions training;

  Architecture architecture(const Dataset& dataset) const;
};

void add_data_flags(Options& options);
void add_classes_flag(Options& options);  // one of the data flags
void add_network_flags(Options& options);
void add_training_flags(Options& options);
void add_machine_flags(Options& options);  // those of the device, and --threads
void add_device_flags(Options& options, const std::string& default_device = "auto");

// --data, else MNIST_DIR, else data/mnist where that exists. Throws UsageError where there is none of them.
std::string data_source(const Options& options);

// The same, and `synthetic` where there is none of them.
std::string data_source_or_synthetic(const Options& options);

// Throw UsageError, naming the flag; read_settings also ArgumentError, for settings that do not go together.
// needs_data: whether no data at all is an error.
std::int64_t read_classes(const Options& options);
DataSettings read_data_settings(const Options& options, bool needs_data);
Settings read_settings(const Options& options, bool needs_data = true);

// The device that the flags choose, set up as they say. Throws what choose_device throws, and DeviceError for
// a flag of GPUs where none is chosen.
at::Device read_device(const Options& options);

// The number that --threads gives; none for "auto".
std::optional<int> read_threads(const Options& options);

// Of the contents of the file that --init names; in config.json beside the settings.
constexpr const char* init_sha256 = "init_sha256";

// What config.json holds: every setting under the name of its flag, with _ for -.
Json config_json(const Options& options, const Settings& settings);

// What a model file says of how its network was trained: the settings of `config` that decide about it, as
// the solo run that gives the same network, and the SHA-256 of the data. JSON text.
std::string training_text(Json config, std::uint64_t seed, std::uint64_t data_seed,
                          const std::string& data_sha256);

// The same for so many networks whose first is that one. "" of "".
std::string with_replicas(const std::string& training, std::int64_t replicas);

// The data source as config.json has it: found from any directory.
std::string config_data(const Options& options);

// The keys of config_json that a config file may set.
const std::vector<std::string>& config_keys();

// What `network` and `data` of a run were, from its config.json. Throws ModelError where `config` is none.
DataSettings data_settings_of_run(const nlohmann::json& config, const std::string& file);

}  // namespace handgrad::app
