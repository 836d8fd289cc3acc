// The table of settings.
#include "handgrad/train/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "handgrad/base/lists.h"
#include "handgrad/train/compat.h"
#include "handgrad/train/setting_forms.h"

namespace handgrad {

namespace {

using Group = Setting::Group;
using Role = Setting::Role;

constexpr std::int64_t most_replicas = 100000;
constexpr std::int64_t most_shards = 1024;

// `get` gives a setting's place in Settings, constant or not.
template <typename T, typename Get>
Setting row(const char* name, Group group, Role role, Form<T> form, const char* placeholder, std::string help,
            Get get) {
  Setting setting{name, group, role, form.kind, placeholder, std::move(help), form.allowed, {}, {}, {}, {}};
  setting.text = [=](const Settings& settings) { return form.text(get(settings)); };
  setting.read = [=](Settings& settings, const std::string& text) {
    const std::optional<T> value = form.parse(text);
    if (value) get(settings) = *value;
    return value.has_value();
  };
  setting.is_allowed = [=](const Settings& settings) {
    const auto one = [&](const T& value) { return form.parse(form.text(value)).has_value(); };
    if constexpr (std::is_same_v<T, std::vector<double>>) {
      const T& values = get(settings);
      return std::all_of(values.begin(), values.end(), [&](double value) { return one({value}); });
    } else {
      return one(get(settings));
    }
  };
  return setting;
}

Setting batch_norm_row() {
  Setting setting = row(
      "batch_norm", Group::network, Role::decides, batch_norm_place(), "[after|before|none]",
      "batch norm in each hidden layer: after its activation, which is meant without a word, or before it",
      [](auto& s) -> auto& { return s.shape.batch_norm; });
  setting.words = {"after", "before", "none"};
  return setting;
}

// Several settings at once, in a word.
Setting compat_row() {
  std::vector<std::string> names;
  for (const CompatSwitch& fault : compat_switches()) names.emplace_back(fault.name);
  const std::string list = fmt::format("{}", fmt::join(names, ", "));
  Setting setting;
  setting.name = "compat";
  setting.group = Group::network;
  setting.placeholder = "LIST";
  setting.help = "faults of the described notebook to switch on: notebook for all, or " + list;
  setting.allowed = "none, notebook, or a list of " + list;
  setting.text = compat_list;
  setting.read = [](Settings& settings, const std::string& text) {
    std::optional<Settings> changed = with_compat(settings, text);
    if (changed) settings = std::move(*changed);
    return changed.has_value();
  };
  setting.is_allowed = [](const Settings& /*settings*/) { return true; };  // switches are on or off
  return setting;
}

std::vector<Setting> make_table() {
  constexpr std::int64_t most_seed = std::numeric_limits<std::int64_t>::max() - most_replicas;
  return {
      row(
          "data", Group::data, Role::machine, anything(), "DIR",
          fmt::format("the four IDX files of a set, or a folder of pictures for each class, or `synthetic` "
                      "[MNIST_DIR, else {}]",
                      default_data_directory),
          [](auto& s) -> auto& { return s.data; }),
      row(
          "classes", Group::data, Role::of_run, class_count(), "N",
          fmt::format(
              "number of classes, at most {}; 0: as many as have names, else as the labels say, if that is "
              "at most {}",
              most_classes, most_classes_unasked),
          [](auto& s) -> auto& { return s.classes; }),
      row(
          "image_size", Group::data, Role::of_run, or_none("auto", image_size()), "N|RxC",
          fmt::format("rows and columns that pictures in folders are scaled to; auto: {}",
                      default_image_size.rows),
          [](auto& s) -> auto& { return s.image_size; }),
      row(
          "test_fraction", Group::data, Role::of_run, or_none("auto", between_zero_and_one()), "X",
          fmt::format("share of each class to test with, by the names of its files, where there is no test/; "
                      "auto: {}",
                      default_test_fraction),
          [](auto& s) -> auto& { return s.test_fraction; }),
      row(
          "skip_unreadable", Group::data, Role::machine, toggle(), "",
          "leave out pictures that cannot be read, and say which",
          [](auto& s) -> auto& { return s.skip_unreadable; }),
      row(
          "split", Group::data, Role::decides, one_of<SplitOptions::Kind>({"official", "pooled"}), "KIND",
          "official: the test files are the test set; pooled: 20 % of all images are",
          [](auto& s) -> auto& { return s.split.kind; }),
      row(
          "validation_fraction", Group::data, Role::decides, below_one(), "X",
          "share of the rest to validate on; 0: none, and no early stopping",
          [](auto& s) -> auto& { return s.split.validation_fraction; }),
      row(
          "deskew", Group::data, Role::decides, toggle(), "",
          "set leaning digits upright and into the middle: by the model, in every format that it is written in",
          [](auto& s) -> auto& { return s.split.deskew; }),
      row(
          "standardise", Group::data, Role::decides, toggle(), "",
          "subtract the mean of the training images and divide by their deviation; part of the model, as above",
          [](auto& s) -> auto& { return s.split.standardise; }),

      row(
          "hidden", Group::network, Role::decides, widths(), "LIST", "widths of the hidden layers, or none",
          [](auto& s) -> auto& { return s.shape.hidden; }),
      batch_norm_row(),
      row(
          "batch_norm_statistics", Group::network, Role::decides,
          one_of<BatchNormOptions::Statistics>({"batch", "shard"}), "NAME",
          "what training normalises by: batch: the statistics of the batch; shard: each shard by its own",
          [](auto& s) -> auto& { return s.network.batch_norm.statistics; }),
      row(
          "activation", Group::network, Role::decides,
          one_of<Activation>({std::begin(activation_names), std::end(activation_names)}), "NAME",
          fmt::format("after each hidden layer: {}", fmt::join(activation_names, ", ")),
          [](auto& s) -> auto& { return s.shape.activation; }),
      row(
          "l2", Group::network, Role::per_network, of_each_network(not_negative()), "X",
          "λ: adds (λ/2m) Σ‖W‖² to the loss, m the batch size",
          [](auto& s) -> auto& { return s.training.l2; }),
      row(
          "dropout", Group::network, Role::decides, below_one(), "P",
          "probability with which training drops an output of a hidden layer",
          [](auto& s) -> auto& { return s.network.dropout.hidden; }),
      row(
          "input_dropout", Group::network, Role::decides, below_one(), "P",
          "probability with which it drops an input",
          [](auto& s) -> auto& { return s.network.dropout.input; }),
      row(
          "replicas", Group::network, Role::of_run, whole(1, most_replicas), "R",
          "networks to train side by side, with seeds SEED, SEED+1, …",
          [](auto& s) -> auto& { return s.replicas; }),
      row(
          "seed", Group::network, Role::of_run, whole<std::uint64_t>(0, most_seed), "N",
          "of the initial weights", [](auto& s) -> auto& { return s.seed; }),
      compat_row(),

      row(
          "batch_size", Group::training, Role::decides, whole(1, largest_count), "N", "images per step",
          [](auto& s) -> auto& { return s.training.batch_size; }),
      row(
          "shards", Group::training, Role::decides, whole(1, most_shards), "V",
          "parts of a batch that are computed apart: the same bits with any number of threads and processes",
          [](auto& s) -> auto& { return s.network.shards; }),
      row(
          "epochs", Group::training, Role::length, whole(0, largest_count), "N",
          "passes over the training set; 0: initialise only",
          [](auto& s) -> auto& { return s.training.epochs; }),
      row(
          "learning_rate", Group::training, Role::per_network, of_each_network(above_zero(largest_factor)),
          "X", "step size of the optimizer", [](auto& s) -> auto& { return s.training.learning_rate; }),
      row(
          "schedule", Group::training, Role::decides,
          one_of<RateScheduleOptions::Kind>(rate_schedule_names()), "NAME",
          "of the learning rate: constant; cosine: falls to the final rate; step: at 1/2 and 3/4 of training",
          [](auto& s) -> auto& { return s.training.schedule.kind; }),
      row(
          "warmup", Group::training, Role::decides, or_none("none", interval()), "N|Nep",
          "steps or epochs in which the learning rate rises to its value",
          [](auto& s) -> auto& { return s.training.schedule.warmup; }),
      row(
          "final_rate", Group::training, Role::decides, or_none("auto", up_to(1)), "X",
          "share of the learning rate that a schedule ends with; auto: 0 with cosine, 0.01 with step",
          [](auto& s) -> auto& { return s.training.schedule.final_rate; }),
      row(
          "optimizer", Group::training, Role::decides, one_of<OptimizerOptions::Kind>(optimizer_names()),
          "NAME", fmt::format("{}", fmt::join(optimizer_names(), ", ")),
          [](auto& s) -> auto& { return s.training.optimizer.kind; }),
      row(
          "momentum", Group::training, Role::decides, below_one(), "X", "of momentum and nesterov",
          [](auto& s) -> auto& { return s.training.optimizer.momentum; }),
      row(
          "beta1", Group::training, Role::decides, below_one(), "X", "of adam and adamw",
          [](auto& s) -> auto& { return s.training.optimizer.beta1; }),
      row(
          "beta2", Group::training, Role::decides, below_one(), "X", "of adam and adamw",
          [](auto& s) -> auto& { return s.training.optimizer.beta2; }),
      row(
          "adam_eps", Group::training, Role::decides, above_zero(1), "X", "of adam and adamw",
          [](auto& s) -> auto& { return s.training.optimizer.eps; }),
      row(
          "weight_decay", Group::training, Role::decides, not_negative(), "X",
          "PyTorch's weight decay; takes the place of --l2",
          [](auto& s) -> auto& { return s.training.optimizer.weight_decay; }),
      row(
          "weight_decay_form", Group::training, Role::decides,
          one_of<OptimizerOptions::Decay>({"auto", "coupled", "decoupled"}), "NAME",
          "coupled: in the gradient; decoupled: apart from it; auto: decoupled with adamw alone",
          [](auto& s) -> auto& { return s.training.optimizer.decay; }),
      row(
          "weight_decay_on", Group::training, Role::decides,
          one_of<OptimizerOptions::Decayed>({"all", "weights"}), "NAME",
          "what decays: all parameters, or the weights alone",
          [](auto& s) -> auto& { return s.training.optimizer.decayed; }),
      row(
          "label_smoothing", Group::training, Role::decides, below_one(), "X",
          "trains for 1 - X in place of 1, and shares X among all classes",
          [](auto& s) -> auto& { return s.training.label_smoothing; }),
      row(
          "clip", Group::training, Role::decides, or_none("none", above_zero(largest_factor)), "X",
          "scale the gradients of a network down to this norm where theirs is larger",
          [](auto& s) -> auto& { return s.training.clip; }),
      row(
          "data_seed", Group::training, Role::of_run, or_none("", whole<std::uint64_t>(0, most_seed)), "N",
          "of the split and the batch order [the seed]", [](auto& s) -> auto& { return s.data_seed; }),
      row(
          "augment", Group::training, Role::decides,
          one_of<AugmentChoice::Preset>({"none", "light", "medium", "strong"}), "NAME",
          "none, light, medium or strong: how far training images are changed at random",
          [](auto& s) -> auto& { return s.training.augment.preset; }),
      row(
          "rotation", Group::training, Role::decides, or_none("auto", up_to(180)), "X",
          "turn training images by up to so many degrees; auto: as --augment says",
          [](auto& s) -> auto& { return s.training.augment.rotation; }),
      row(
          "scale", Group::training, Role::decides, or_none("auto", up_to(1)), "X",
          "scale their rows and columns: up to this, as a logarithm, so 0.1 is about ±10 %; auto, as above",
          [](auto& s) -> auto& { return s.training.augment.scale; }),
      row(
          "shear", Group::training, Role::decides, or_none("auto", up_to(1)), "X",
          "slant them by up to so many columns a row; auto, as above",
          [](auto& s) -> auto& { return s.training.augment.shear; }),
      row(
          "shift", Group::training, Role::decides, or_none("auto", up_to(most_rows_or_columns)), "X",
          "shift them by up to so many pixels along each axis; auto, as above",
          [](auto& s) -> auto& { return s.training.augment.shift; }),
      row(
          "elastic", Group::training, Role::decides, or_none("auto", up_to(10)), "X",
          "bend them: root mean square of the displacements, in pixels; auto, as above",
          [](auto& s) -> auto& { return s.training.augment.elastic; }),
      row(
          "augment_final", Group::training, Role::decides, up_to(1), "X",
          "the share of all this that is left at the end, to which it falls as --schedule does",
          [](auto& s) -> auto& { return s.training.augment_final; }),
      row(
          "evaluate_every", Group::training, Role::decides, interval(), "N|Nep",
          "steps or epochs between validations", [](auto& s) -> auto& { return s.training.evaluate_every; }),
      row(
          "monitor", Group::training, Role::decides, one_of<TrainingOptions::Monitor>({"loss", "accuracy"}),
          "NAME", "what of the validation set chooses the best parameters: loss or accuracy",
          [](auto& s) -> auto& { return s.training.monitor; }),
      row(
          "ema", Group::training, Role::decides, below_one(), "X",
          "decay of a moving average of the parameters; kept where validation says it is better; 0: none",
          [](auto& s) -> auto& { return s.training.ema; }),
      row(
          "reestimate_batch_norm", Group::training, Role::decides, toggle(), "",
          "at the end, statistics of all training images; kept unless validation says they are worse",
          [](auto& s) -> auto& { return s.training.reestimate_batch_norm; }),
      row(
          "patience", Group::training, Role::decides, or_none("none", whole(1, largest_count)), "N",
          "stop after so many validations without improvement; none: never",
          [](auto& s) -> auto& { return s.training.patience; }),
      row(
          "min_delta", Group::training, Role::decides, not_negative(), "X",
          "an improvement is a validation loss lower (an accuracy higher) than at the last one by more than this",
          [](auto& s) -> auto& { return s.training.min_delta; }),

      row(
          "device", Group::machine, Role::machine, anything(), "NAME", "auto, cpu, cuda or cuda:INDEX",
          [](auto& s) -> auto& { return s.device; }),
      row(
          "tf32", Group::machine, Role::rounding, toggle(), "",
          "on a GPU: let products round float32 to TF32; faster for wide layers, less exact",
          [](auto& s) -> auto& { return s.tf32; }),
      row(
          "threads", Group::machine, Role::machine, number_or_auto(1024), "N",
          "CPU threads; auto: as many as the widest layer can use, and one to gather batches",
          [](auto& s) -> auto& { return s.threads; }),
  };
}

}  // namespace

const std::vector<Setting>& settings_table() {
  static const std::vector<Setting> table = make_table();
  return table;
}

std::vector<std::pair<std::string, std::string>> architecture_settings(const Architecture& architecture) {
  Settings settings;
  settings.shape = architecture;
  settings.classes = architecture.classes;
  std::vector<std::pair<std::string, std::string>> values;
  for (const char* name : {"hidden", "batch_norm", "activation", "classes"}) {
    values.emplace_back(name, setting(name).text(settings));
  }
  return values;
}

const Setting& setting(const std::string& name) {
  for (const Setting& row : settings_table()) {
    if (row.name == name) return row;
  }
  throw std::out_of_range(name);
}

void Settings::pass_on() {
  if (!data_seed) data_seed = seed;
  training.seeds.clear();
  for (std::int64_t r = 0; r < replicas; ++r) training.seeds.push_back(seed + static_cast<std::uint64_t>(r));
  training.data_seeds = {*data_seed};
  split.seed = *data_seed;
}

DataRequest Settings::data_request() const {
  return {data, classes, image_size, test_fraction, skip_unreadable, {}};
}

Architecture Settings::architecture(const Dataset& dataset) const {
  Architecture architecture = shape;
  architecture.inputs = dataset.rows() * dataset.columns();
  architecture.classes = dataset.classes;
  return architecture;
}

}  // namespace handgrad
