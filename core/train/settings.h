// Every setting of a training run, and the one table that says of each, once, its name, range, role and help.
// Flags and --help, config.json, the keys of a sweep's file, the checks of ranges, what --resume may change,
// what the networks of an ensemble share and what a model file says of its training are made from it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handgrad/data/dataset.h"
#include "handgrad/nn/network.h"
#include "handgrad/train/training_options.h"

namespace handgrad {

// Where data are looked for that nobody names.
constexpr const char* default_data_directory = "data/mnist";

struct Settings {
  std::string data;                      // a directory, or synthetic_name
  std::int64_t classes = 0;              // 0: as many as have names, else as the labels say
  std::optional<ImageShape> image_size;  // of pictures in folders; none: the default, as below
  std::optional<double> test_fraction;
  bool skip_unreadable = false;
  SplitOptions split;
  Architecture shape;  // its inputs and classes are those of the data
  NetworkOptions network;
  std::int64_t replicas = 1;
  std::uint64_t seed = 1;                  // of the first network
  std::optional<std::uint64_t> data_seed;  // none: the seed
  TrainingOptions training;
  std::string device = "auto";
  bool tf32 = false;
  std::optional<std::int64_t> threads;  // none: as many as gain time

  // Writes into `training` and `split` the seeds, which they have from the other settings.
  void pass_on();

  DataRequest data_request() const;
  Architecture architecture(const Dataset& dataset) const;
};

struct Setting {
  // Which commands have the flag.
  enum class Group { data, network, training, machine };

  enum class Role {
    decides,  // about what is learned: the networks of an ensemble share it, and a run that goes on keeps it
    per_network,  // the same, but each network of an ensemble has its own
    length,  // how long it is learned: an ensemble trains for its longest, a run that goes on for as long or
             // longer
    of_run,  // which data and networks: a sweep says it once, for all of its configurations
    rounding,  // how numbers are rounded, everywhere in the program
    machine,   // what computes, and where the data are; not what is learned
  };

  // How JSON and TOML write it; a toggle that has a word for its value, as text.
  enum class Kind { toggle, whole, real, text };

  std::string name;  // in JSON and TOML; its flag has - for _
  Group group = Group::training;
  Role role = Role::decides;
  Kind kind = Kind::text;
  std::string placeholder, help;
  std::string allowed;  // "a whole number from 1 to 9"; what a value must be

  std::function<std::string(const Settings&)> text;  // the value, as a flag would have it
  std::function<bool(Settings&, const std::string&)>
      read;  // false, without a change, where the value is not allowed
  std::function<bool(const Settings&)> is_allowed;
  std::vector<std::string> words;  // what the flag of a toggle may have as its value, if anything
};

// In the order of config.json and --help.
const std::vector<Setting>& settings_table();

// The settings that make up an architecture, by name, with its values as flags would have them.
std::vector<std::pair<std::string, std::string>> architecture_settings(const Architecture& architecture);

// Throws std::out_of_range for a name that is none.
const Setting& setting(const std::string& name);

}  // namespace handgrad
