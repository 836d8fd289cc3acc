// The flags that describe data, network and training.
#include "cli/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "handgrad/base/errors.h"
#include "handgrad/platform/system.h"

namespace handgrad::app {

namespace {

constexpr std::int64_t most_replicas = 100000;
constexpr const char* default_data_directory = "data/mnist";
const std::vector<std::string> split_names = {"official", "pooled"};

std::string number_text(double value) {
  return fmt::format("{}", value);
}

// A data set as it can be found from any directory.
std::string portable_source(const std::string& source) {
  return source == synthetic_name ? source : std::filesystem::absolute(source).lexically_normal().string();
}

// "100" steps or "1ep" epochs.
Interval read_interval(const Options& options, const std::string& name) {
  std::string digits = options.text(name);
  Interval interval;
  interval.unit = Interval::Unit::steps;
  if (digits.size() > 2 && digits.compare(digits.size() - 2, 2, "ep") == 0) {
    interval.unit = Interval::Unit::epochs;
    digits.resize(digits.size() - 2);
  }
  try {
    interval.count = parse_integer(digits);
    if (interval.count >= 1 && interval.count <= largest_count) return interval;
  } catch (const std::invalid_argument&) {
  }
  throw options.wrong(name, "a number of steps such as 100, or of epochs such as 1ep");
}

std::string compat_names() {
  std::vector<std::string> names;
  for (const CompatSwitch& fault : compat_switches) names.emplace_back(fault.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

Compat read_compat(const Options& options) {
  Compat compat;
  std::string list = options.text("compat");
  if (list == "none") return compat;
  const bool all = list == "notebook";
  list += ',';
  for (std::size_t begin = 0; begin < list.size() && !all;) {
    const std::size_t comma = list.find(',', begin);
    const std::string name = list.substr(begin, comma - begin);
    const auto* found = std::find_if(compat_switches.begin(), compat_switches.end(),
                                     [&](const CompatSwitch& fault) { return name == fault.name; });
    if (found == compat_switches.end()) {
      throw options.wrong("compat", fmt::format("none, notebook, or a list of {}", compat_names()));
    }
    if (found->needs_batch_norm && !options.on("batch-norm")) {
      throw UsageError(fmt::format(
          "--compat: {} needs --batch-norm, without which it changes nothing; add that flag", name));
    }
    compat.*found->member = true;
    begin = comma + 1;
  }
  if (all) {
    for (const CompatSwitch& fault : compat_switches) compat.*fault.member = true;
  }
  return compat;
}

std::optional<std::string> find_data_source(const Options& options) {
  if (!options.text("data").empty()) return options.text("data");
  const char* environment = std::getenv("MNIST_DIR");
  if (environment != nullptr && *environment != '\0') return environment;
  if (std::filesystem::is_directory(default_data_directory)) return default_data_directory;
  return std::nullopt;
}

double above_zero(const Options& options, const std::string& name) {
  try {
    const double value = parse_number(options.text(name));
    if (value >= std::numeric_limits<float>::min() && value <= largest_factor) return value;
  } catch (const std::invalid_argument&) {
  }
  throw options.wrong(name, fmt::format("a number above 0 and at most {}", largest_factor));
}

double below_one(const Options& options, const std::string& name) {
  try {
    const double value = parse_number(options.text(name));
    if (value >= 0 && value < 1) return value;
  } catch (const std::invalid_argument&) {
  }
  throw options.wrong(name, "a number of at least 0 and below 1");
}

}  // namespace

Architecture Settings::architecture(const Dataset& dataset) const {
  return {dataset.rows() * dataset.columns(), hidden, dataset.classes, batch_norm};
}

void add_data_flags(Options& options) {
  const SplitOptions split;
  options.value("data", "", "DIR",
                fmt::format("the four IDX files, plain or .gz, or `synthetic` [MNIST_DIR, else {}]",
                            default_data_directory));
  add_classes_flag(options);
  options
      .value("split", "official", "KIND",
             "official: the test files are the test set; pooled: 20 % of all images are")
      .value("validation-fraction", number_text(split.validation_fraction), "X",
             "share of the rest to validate on; 0: none, and no early stopping");
}

void add_classes_flag(Options& options) {
  options.value(
      "classes", "0", "N",
      fmt::format("number of classes, at most {}; 0: as many as the labels name, if that is at most {}",
                  most_classes, most_classes_unasked));
}

void add_network_flags(Options& options) {
  options
      .value("hidden", fmt::format("{}", fmt::join(Architecture().hidden, ",")), "LIST",
             "widths of the hidden layers, or none")
      .toggle("batch-norm", "batch norm after each hidden layer's ReLU")
      .value("l2", number_text(TrainingOptions().l2.front()), "X",
             "λ: adds (λ/2m) Σ‖W‖² to the loss, m the batch size")
      .value("replicas", "1", "R", "networks to train side by side, with seeds SEED, SEED+1, …")
      .value("seed", "1", "N", "of the initial weights")
      .value("compat", "none", "LIST",
             fmt::format("faults of the described notebook to switch on: notebook for all, or {}",
                         compat_names()));
}

void add_training_flags(Options& options) {
  const TrainingOptions training;
  const OptimizerOptions optimizer;
  options.value("batch-size", std::to_string(training.batch_size), "N", "images per step")
      .value("epochs", std::to_string(training.epochs), "N",
             "passes over the training set; 0: initialise only")
      .value("learning-rate", number_text(training.learning_rate.front()), "X", "step size of the optimizer")
      .value("optimizer", optimizer_names().front(), "NAME",
             fmt::format("{}", fmt::join(optimizer_names(), ", ")))
      .value("momentum", number_text(optimizer.momentum), "X", "of momentum and nesterov")
      .value("beta1", number_text(optimizer.beta1), "X", "of adam and adamw")
      .value("beta2", number_text(optimizer.beta2), "X", "of adam and adamw")
      .value("adam-eps", number_text(optimizer.eps), "X", "of adam and adamw")
      .value("weight-decay", number_text(optimizer.weight_decay), "X",
             "PyTorch's weight decay on all parameters; takes the place of --l2")
      .value("data-seed", "", "N", "of the split and the batch order [the seed]")
      .value("evaluate-every", "1ep", "N|Nep", "steps or epochs between validations")
      .value("patience", std::to_string(*training.patience), "N",
             "stop after so many validations without improvement; none: never")
      .value("min-delta", number_text(training.min_delta), "X",
             "an improvement is a validation loss lower than at the last one by more than this");
}

void add_machine_flags(Options& options) {
  add_device_flags(options);
  options.value("threads", "auto", "N",
                "CPU threads; auto: as many as the widest layer can use, and one to gather batches");
}

void add_device_flags(Options& options, const std::string& default_device) {
  options.value("device", default_device, "NAME", "auto, cpu, cuda or cuda:INDEX")
      .toggle("no-cuda-graph",
              "on a GPU: launch each operation by itself, to compare; the results are the same")
      .toggle("tf32", "on a GPU: let products round float32 to TF32; faster for wide layers, less exact");
}

at::Device read_device(const Options& options) {
  const at::Device device = choose_device(options.text("device"));
  for (const char* flag : {"no-cuda-graph", "tf32"}) {
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
                  "scripts/fetch_mnist.sh, or use `--data synthetic`",
                  default_data_directory));
}

std::string data_source_or_synthetic(const Options& options) {
  return find_data_source(options).value_or(synthetic_name);
}

std::int64_t read_classes(const Options& options) {
  const std::int64_t classes = options.integer("classes", 0, most_classes);
  if (classes == 1) throw options.wrong("classes", fmt::format("0, or from 2 to {}", most_classes));
  return classes;
}

DataSettings read_data_settings(const Options& options, bool needs_data) {
  DataSettings data;
  if (needs_data) data.source = data_source(options);
  data.classes = read_classes(options);
  data.split.kind = static_cast<SplitOptions::Kind>(options.choice("split", split_names));
  data.split.validation_fraction = below_one(options, "validation-fraction");
  return data;
}

Settings read_settings(const Options& options, bool needs_data) {
  Settings settings;
  TrainingOptions& training = settings.training;
  settings.hidden = options.integers_or_none("hidden", 1, widest_layer);
  settings.batch_norm = options.on("batch-norm");
  settings.compat = read_compat(options);
  settings.replicas = options.integer("replicas", 1, most_replicas);
  training.batch_size = options.integer("batch-size", 1, largest_count);
  training.cuda_graph = !options.on("no-cuda-graph");
  training.epochs = options.integer("epochs", 0, largest_count);
  training.learning_rate = {above_zero(options, "learning-rate")};
  training.optimizer.kind =
      static_cast<OptimizerOptions::Kind>(options.choice("optimizer", optimizer_names()));
  training.optimizer.momentum = below_one(options, "momentum");
  training.optimizer.beta1 = below_one(options, "beta1");
  training.optimizer.beta2 = below_one(options, "beta2");
  training.optimizer.eps = above_zero(options, "adam-eps");
  training.optimizer.weight_decay = options.number("weight-decay", 0, largest_factor);
  training.l2 = {options.number("l2", 0, largest_factor)};
  if (training.optimizer.weight_decay > 0) {
    if (options.given("l2") && training.l2.front() > 0) {
      throw UsageError("--weight-decay: takes the place of --l2; give one of the two");
    }
    training.l2 = {0};
  }
  if (training.optimizer.weight_decay > 0 && settings.compat.bn_no_backward && settings.batch_norm) {
    throw UsageError(
        "--compat: bn-no-backward keeps γ and β as they are, which --weight-decay does not; use --l2");
  }
  const std::int64_t largest_seed = std::numeric_limits<std::int64_t>::max() - settings.replicas;
  const std::int64_t seed = options.integer("seed", 0, largest_seed);
  training.seeds.clear();
  for (std::int64_t r = 0; r < settings.replicas; ++r)
    training.seeds.push_back(static_cast<std::uint64_t>(seed + r));
  training.evaluate_every = read_interval(options, "evaluate-every");
  training.patience = options.integer_or("none", "patience", 1, largest_count);
  training.min_delta = options.number("min-delta", 0, largest_factor);
  settings.data = read_data_settings(options, needs_data);
  settings.data.split.seed =
      static_cast<std::uint64_t>(options.text("data-seed").empty() ? seed : options.integer("data-seed", 0));
  settings.data.split.twice = settings.compat.split_twice;
  training.data_seeds = {settings.data.split.seed};
  Architecture architecture;  // the data, which say its inputs and classes, are not read yet
  architecture.hidden = settings.hidden;
  architecture.batch_norm = settings.batch_norm;
  validate(training, architecture, settings.replicas);
  return settings;
}

std::optional<int> read_threads(const Options& options) {
  const std::optional<std::int64_t> threads = options.integer_or("auto", "threads", 1, 1024);
  if (!threads) return std::nullopt;
  return static_cast<int>(*threads);
}

std::string config_data(const Options& options) {
  return portable_source(data_source(options));
}

Json config_json(const Options& options, const Settings& settings) {
  const TrainingOptions& training = settings.training;
  return {{"version", version()},
          {"data", portable_source(settings.data.source)},
          {"classes", settings.data.classes},
          {"split", options.text("split")},
          {"validation_fraction", settings.data.split.validation_fraction},
          {"hidden", options.text("hidden")},
          {"batch_norm", settings.batch_norm},
          {"l2", training.l2.front()},
          {"replicas", settings.replicas},
          {"seed", training.seeds.front()},
          {"compat", options.text("compat")},
          {"batch_size", training.batch_size},
          {"epochs", training.epochs},
          {"learning_rate", training.learning_rate.front()},
          {"optimizer", options.text("optimizer")},
          {"momentum", training.optimizer.momentum},
          {"beta1", training.optimizer.beta1},
          {"beta2", training.optimizer.beta2},
          {"adam_eps", training.optimizer.eps},
          {"weight_decay", training.optimizer.weight_decay},
          {"data_seed", training.data_seeds.front()},
          {"evaluate_every", options.text("evaluate-every")},
          {"patience", training.patience ? Json(*training.patience) : Json("none")},
          {"min_delta", training.min_delta},
          {"device", options.text("device")},
          {"tf32", options.on("tf32")},
          {"threads", options.text("threads")}};
}

std::string training_text(Json config, std::uint64_t seed, std::uint64_t data_seed,
                          const std::string& data_sha256) {
  // Of the machine, not of the network; the version is said elsewhere.
  for (const char* key : {"version", "data", "device", "threads", "init"}) config.erase(key);
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
  static const std::vector<std::string> keys = {
      "data",           "classes",    "split",        "validation_fraction",
      "hidden",         "batch_norm", "l2",           "replicas",
      "seed",           "compat",     "batch_size",   "epochs",
      "learning_rate",  "optimizer",  "momentum",     "beta1",
      "beta2",          "adam_eps",   "weight_decay", "data_seed",
      "evaluate_every", "patience",   "min_delta",    "device",
      "tf32",           "threads",    "init"};
  return keys;
}

DataSettings data_settings_of_run(const nlohmann::json& config, const std::string& file) {
  try {
    DataSettings data;
    data.source = config.at("data").get<std::string>();
    data.classes = config.at("classes").get<std::int64_t>();
    const auto kind =
        std::find(split_names.begin(), split_names.end(), config.at("split").get<std::string>());
    const double fraction = config.at("validation_fraction").get<double>();
    const bool good = kind != split_names.end() && fraction >= 0 && fraction < 1;
    if (!good || !config.at("data_seed").is_number_unsigned()) {
      throw ModelError(fmt::format("{}: is not the configuration of a run: no such split can be", file));
    }
    data.split.kind = static_cast<SplitOptions::Kind>(kind - split_names.begin());
    data.split.validation_fraction = fraction;
    data.split.seed = config.at("data_seed").get<std::uint64_t>();
    return data;
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(fmt::format("{}: is not the configuration of a run ({})", file, error.what()));
  }
}

}  // namespace handgrad::app
