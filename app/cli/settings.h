// The flags that describe data, network and training: made from the library's table of settings, read once
// into Settings, written to config.json.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/options.h"
#include "handgrad/train/settings.h"

namespace handgrad::app {

void add_flags(Options& options, const std::vector<Setting::Group>& groups);
void add_flag(Options& options, const std::string& name);
// --device and what else is for a GPU; with --threads.
void add_device_flags(Options& options, const std::string& default_device = "auto");
void add_machine_flags(Options& options);

// --data, else MNIST_DIR, else data/mnist where that exists. Throws UsageError where there is none of them.
std::string data_source(const Options& options);

// The same, and `synthetic` where there is none of them.
std::string data_source_or_synthetic(const Options& options);

// The settings of a command that has all of their flags. needs_data: whether no data at all is an error.
// Throws UsageError, naming the flag, and ArgumentError for settings that do not go together.
Settings read_settings(const Options& options, bool needs_data = true);

// --classes and what else says how data are read, but not which.
void add_data_flags(Options& options);
DataRequest read_data_request(const Options& options, const std::string& source);

// The same for a model that was trained already, which says the rest.
void add_test_data_flags(Options& options);
void take_given_flags(DataRequest& request, const Options& options);

// The same as JSON has it, as config.json and a sweep's plan do. Throws what settings_of throws.
DataRequest data_request_of(const Json& config, const std::string& file);
Json data_request_json(const Options& options);  // without the source

// Of one flag alone.
std::optional<int> read_threads(const Options& options);  // none for "auto"

// --augment and the numbers that go with it.
const std::vector<std::string>& augmentation_settings();
AugmentOptions read_augmentation(const Options& options);

// The device that the flags choose, set up as they say. Throws what choose_device throws, and DeviceError for
// a flag of GPUs where none is chosen.
at::Device read_device(const Options& options);

// Of the contents of the file that --init names; in config.json beside the settings.
constexpr const char* init_sha256 = "init_sha256";

// The run that --train-on-all names; there too.
constexpr const char* chosen_by = "chosen_by";

// What config.json holds: the version, and every setting under its name.
Json config_json(const Settings& settings);

// A value as JSON writes it.
Json json_of(const Setting& setting, const Settings& settings);

// The settings that `config` has; the others, which an older version did not know, at their defaults. Throws
// ModelError for values that are not allowed; `file` is what messages call it.
Settings settings_of(const Json& config, const std::string& file);

// The same of a run's config.json or checkpoint; throws ModelError for anything else.
Settings settings_of_run(const Json& config, const std::string& file);

// What a model file says of how its network was trained: the settings of `config` that decide about it, as
// the solo run that gives the same network, and the SHA-256 of the data. JSON text.
std::string training_text(Json config, std::uint64_t seed, std::uint64_t data_seed,
                          const std::string& data_sha256);

// The same for so many networks whose first is that one. "" of "".
std::string with_replicas(const std::string& training, std::int64_t replicas);

// The data source as config.json has it: found from any directory.
std::string config_data(const Options& options);

// The keys that a config.json may have.
const std::vector<std::string>& config_keys();

}  // namespace handgrad::app
