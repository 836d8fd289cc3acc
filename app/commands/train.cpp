// `handgrad train`: trains networks into a run directory.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/interruption.h"
#include "cli/settings.h"
#include "commands/commands.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/files/sha256.h"
#include "handgrad/platform/blas.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/platform/resources.h"
#include "handgrad/platform/system.h"
#include "handgrad/platform/threads.h"
#include "handgrad/train/footprint.h"
#include "run/recorder.h"
#include "run/resumption.h"
#include "run/run_directory.h"
#include "run/run_result.h"
#include "run/saved_model.h"

namespace handgrad::app {

namespace {

Json to_json(const LossAndAccuracy& metrics) {
  return {{"loss", metrics.loss}, {"accuracy", metrics.accuracy}};
}

Json summary_json(const TrainingResult& result, const Architecture& architecture, const Json& data,
                  const std::string& data_sha256, at::Device device, bool tf32, int threads) {
  Json replicas = Json::array();
  for (const ReplicaResult& replica : result.replicas) {
    Json entry = {{"seed", replica.seed},
                  {"stopped", to_string(replica.stopped)},
                  {"train", to_json(replica.train)},
                  {"validation", replica.validation ? to_json(*replica.validation) : Json()},
                  {"test", to_json(replica.test)},
                  {"l2_penalty", replica.l2_penalty},
                  {"train_cost", replica.train_cost},
                  {"validation_cost", replica.validation_cost ? Json(*replica.validation_cost) : Json()},
                  {"steps", replica.steps},
                  {"best_step", replica.best_step}};
    if (!replica.fault.empty()) entry["fault"] = replica.fault;
    replicas.push_back(entry);
  }
  return {{"steps", result.steps},
          {"epochs", result.epochs},
          {"seconds", result.seconds},
          {"microseconds_per_step", result.microseconds_per_step},
          {"stopped", to_string(result.stopped)},
          {"data", data},
          {"data_sha256", data_sha256},
          {"architecture", architecture.description()},
          {"parameters", architecture.parameter_count()},
          {"device", device.str()},
          {"tf32", tf32},
          {"threads", threads},
          {"blas", blas_library().name},
          {"libtorch", libtorch_version()},
          {"version", version()},
          {"replicas", replicas}};
}

std::string row(const char* name, const LossAndAccuracy& metrics) {
  return fmt::format("  {:<12}{:>9.4f}{:>11.2f} %\n", name, metrics.loss, 100 * metrics.accuracy);
}

std::string replica_table(const std::vector<ReplicaResult>& replicas) {
  std::string text = "  seed          validation      test        best step\n";
  double sum = 0;
  double squares = 0;
  for (const ReplicaResult& replica : replicas) {
    const double test = 100 * replica.test.accuracy;
    sum += test;
    squares += test * test;
    text += fmt::format("  {:<12}{:>10} %{:>9.2f} %{:>14}{}\n", replica.seed,
                        replica.validation ? fmt::format("{:.2f}", 100 * replica.validation->accuracy) : "-",
                        test, replica.best_step, replica.fault.empty() ? "" : "  " + replica.fault);
  }
  const auto count = static_cast<double>(replicas.size());
  const double deviation = std::sqrt(std::max(0.0, (squares - sum * sum / count) / (count - 1)));
  return text + fmt::format("  test accuracy: mean {:.2f} %, standard deviation {:.2f} over {} networks\n",
                            sum / count, deviation, replicas.size());
}

void print_result(const TrainingResult& result, const Settings& settings, const RunDirectory& run) {
  fmt::print("\n{} in {:.1f} s, {:.1f} µs a step{}; stopped: {}\n", counted(result.steps, "step"),
             result.seconds, result.microseconds_per_step,
             settings.replicas > 1 ? fmt::format(" of all {} networks", settings.replicas) : "",
             to_string(result.stopped));
  if (settings.replicas > 1) {
    fmt::print("{}", replica_table(result.replicas));
  } else {
    const ReplicaResult& replica = result.replicas.front();
    fmt::print("  {:<12}{:>9}{:>13}\n", "", "loss", "accuracy");
    fmt::print("{}", row("train", replica.train));
    if (replica.validation) fmt::print("{}", row("validation", *replica.validation));
    fmt::print("{}", row("test", replica.test));
    fmt::print("  L2 penalty {:.4f}, best step {}\n", replica.l2_penalty, replica.best_step);
  }
  fmt::print("saved: {}\n", run.model_path(0).string());
}

Options train_options() {
  Options options("train", "trains networks and saves the best parameters", "");
  add_flags(options, {Setting::Group::data, Setting::Group::network, Setting::Group::training});
  add_machine_flags(options);
  options.value("out", "", "DIR", "where the run goes [the next free runs/NNN]")
      .toggle("overwrite", "replace a run that is in --out")
      .value("config", "", "FILE", "a run's config.json to take settings from; flags win")
      .value("resume", "", "DIR",
             "go on with the run in DIR, to the same bits as if it had not stopped; with more --epochs, from "
             "its end")
      .value("checkpoint-every", "auto", "N|Ns|Nep",
             fmt::format("steps, seconds or epochs between checkpoints; auto: an epoch, at least {:.0f} s",
                         Schedule::least_seconds))
      .value(
          "init", "none", "FILE",
          "begin with the network of this safetensors file, state dict, TorchScript file or run, which also "
          "gives --hidden and --batch-norm");
  return options;
}

// The network to begin with, and where it was. Flags that were not given take its architecture.
struct Beginning {
  std::string file, sha256;
  Model model;
};

// `config`: what the settings were taken from.
std::optional<Beginning> read_beginning(Options& options, const Json& config) {
  const std::string& name = options.text("init");
  if (name == "none") return std::nullopt;
  const std::filesystem::path file = find_model(name, 0).file;
  const Bytes bytes = read_file(file);
  Beginning beginning{std::filesystem::absolute(file).lexically_normal().string(),
                      Sha256().update(as_text(bytes)).hex(), load_model(bytes, file.string())};
  if (!options.given("init") && config.value(init_sha256, beginning.sha256) != beginning.sha256) {
    throw ModelError(fmt::format(
        "--init: {} is not what the run began with, its SHA-256 is another; bring that file back, "
        "or begin another run with --init",
        beginning.file));
  }
  const Architecture& architecture = beginning.model.network->architecture();
  options.preset("hidden", architecture.hidden.empty()
                               ? "none"
                               : fmt::format("{}", fmt::join(architecture.hidden, ",")));
  options.preset("batch-norm", architecture.batch_norm ? "true" : "false");
  options.preset("classes", std::to_string(architecture.classes));
  return beginning;
}

void begin_with(Network& network, const Beginning& beginning, ImageShape images) {
  const Architecture& ours = network.architecture();
  const Architecture& theirs = beginning.model.network->architecture();
  if (ours.description() != theirs.description()) {
    throw ModelError(
        fmt::format("--init: {} holds {}, but flags and data ask for {}; choose another file, or "
                    "leave out --hidden, --batch-norm and --classes",
                    beginning.file, theirs.description(), ours.description()));
  }
  const ImageShape& shape = beginning.model.info.shape;
  if (!shape.takes(images)) {
    throw ModelError(
        fmt::format("--init: {} takes {} × {} images, but those to train on are {} × {}; choose another file",
                    beginning.file, shape.rows, shape.columns, images.rows, images.columns));
  }
  copy_networks(network.parameters, network.running, beginning.model.network->parameters,
                beginning.model.network->running, {0});
}

// What a model file says of network `r`. One that was not trained any further keeps what it said.
ModelInfo info_of(const TrainingResult& result, std::size_t r, ImageShape shape, const Settings& settings,
                  const Circumstances& now) {
  ModelInfo info;
  const ReplicaResult& replica = result.replicas[r];
  if (replica.best_step == 0) info = now.inherited;
  if (info.training_config.empty()) {
    info.training_config =
        training_text(now.config, replica.seed, settings.training.data_seeds.front(), now.data_sha256);
  }
  info.shape = shape;
  info.test_accuracy = replica.test.accuracy;
  return info;
}

void require_a_finite_network(const TrainingResult& result) {
  const std::vector<ReplicaResult>& replicas = result.replicas;
  if (std::all_of(replicas.begin(), replicas.end(),
                  [](const ReplicaResult& r) { return r.best_step == 0 && !r.fault.empty(); })) {
    throw NumericError(fmt::format("training left the finite numbers at {}; try a smaller --learning-rate",
                                   replicas.front().fault));
  }
}

}  // namespace

int train_command(const Arguments& arguments) {
  Options options = train_options();
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  const Schedule schedule(options);
  const bool resuming = options.given("resume");
  for (const char* flag : {"out", "overwrite", "config", "init"}) {
    if (resuming && options.given(flag)) {
      throw UsageError(fmt::format("--{}: a run that goes on has its own; leave it out with --resume", flag));
    }
  }
  std::optional<RunDirectory> resumed;
  if (resuming) resumed.emplace(std::filesystem::path(options.text("resume")));
  std::string note;
  const std::optional<TrainingState> state = resumed ? resumed->read_checkpoint(note) : std::nullopt;
  const std::string& config_file = options.text("config");
  const Json earlier = resumed               ? resumed->config()
                       : config_file.empty() ? Json::object()
                                             : read_json(config_file);
  if (resumed) settings_of_run(earlier, (resumed->path() / "config.json").string());
  options.apply_config(earlier, config_file.empty() ? "config.json" : config_file, config_keys());
  std::optional<Beginning> beginning;
  if (!state) beginning = read_beginning(options, earlier);
  Settings settings = read_settings(options);
  if (beginning && settings.replicas > 1) {
    throw UsageError("--replicas: networks that all begin with that of --init stay equal; leave it out");
  }
  const std::optional<int> threads_asked = read_threads(options);
  const at::Device device = read_device(options);

  const Dataset dataset = load_dataset(settings.data, settings.classes);
  const Architecture architecture = settings.architecture(dataset);
  SplitIndices images = split_indices(dataset.train_count(), dataset.test_count(), settings.split);
  validate(settings.training, architecture, settings.replicas,
           static_cast<std::int64_t>(images.train.size()));
  require_memory({architecture, settings.compat, settings.training, std::move(images), settings.replicas, 1,
                  device.is_cpu()},
                 device, free_memory(device));
  const Splits splits = split(dataset, settings.split, at::TensorOptions(device).dtype(at::kFloat));
  const double largest_layer =
      largest_layer_flops(architecture, settings.replicas, settings.training.batch_size);
  const int threads = threads_asked.value_or(useful_threads(largest_layer));
  set_threads(threads);
  choose_blas_kernels(architecture.widest_hidden());
  settings.training.prefetch = threads_asked != 1 && threads < available_cores();
  Network network(architecture, settings.replicas, splits.train.targets.options(), settings.compat);

  Json config = config_json(settings);
  if (beginning) {
    begin_with(network, *beginning, {dataset.rows(), dataset.columns()});
    settings.training.initialise = false;
    config["init"] = beginning->file;
    config[init_sha256] = beginning->sha256;
  }
  const BlasLibrary blas = blas_library();
  Circumstances now{
      config, dataset.sha256(),
      fmt::format("handgrad {}, LibTorch {}, {}, {}, {}", version(), libtorch_version(), blas.name,
                  counted(threads, "thread"),
                  device.is_cpu() ? device.str() : device.str() + ", " + processor_name(device)),
      beginning ? beginning->model.info : ModelInfo()};
  if (resumed) {
    go_on_as(now, earlier, state, dataset.name);
    if (!note.empty()) warn(note);
    if (!resumed->go_on(now.config, state)) {
      warn(fmt::format("{} has lost lines that were there at the checkpoint; the others are kept",
                       (resumed->path() / "metrics.jsonl").string()));
    }
  } else {
    resumed.emplace(options.text("out"), options.on("overwrite"), now.config);
  }
  RunDirectory& run = *resumed;
  if (device.is_cpu() && blas.is_slow) {
    warn("matrix products run on a slow reference BLAS; `handgrad doctor` says what to do");
  }
  if (device.is_cpu() && options.text("device") == "auto") {
    if (const auto unused = unused_gpu()) warn(fmt::format("{}: {}", unused->why, unused->remedy));
  }
  fmt::print("{}, {} parameters{}, on {} with {}\n{}: {} train, {} validation, {} test images; run: {}\n",
             architecture.description(), architecture.parameter_count(),
             settings.replicas > 1 ? fmt::format(" × {} networks", settings.replicas) : "", device.str(),
             blas.name, printable(dataset.name), splits.train.count(), splits.validation.count(),
             splits.test.count(), printable(run.path().string()));
  if (resuming) {
    fmt::print("going on after step {}\n", state ? state->number("step") : 0);
  }
  std::fflush(stdout);

  catch_interruptions();
  bool state_is_saved = false;
  const auto train_and_save = [&]() -> std::optional<TrainingResult> {
    Progress progress;
    Recorder recorder(run, progress, settings.replicas, schedule, checkpoint_text(now));
    try {
      TrainingResult result = train(network, splits, settings.training, recorder, state ? &*state : nullptr);
      require_a_finite_network(result);
      std::vector<ModelInfo> infos;
      for (std::size_t r = 0; r < result.replicas.size(); ++r) {
        infos.push_back(info_of(result, r, {dataset.rows(), dataset.columns()}, settings, now));
      }
      save_result(run, network, infos,
                  summary_json(result, architecture, now.config.at("data"), now.data_sha256, device,
                               options.on("tf32"), threads),
                  progress, recorder.state_is_saved());
      run.flush_metrics();
      return result;
    } catch (const Interrupted&) {
      state_is_saved = recorder.state_is_saved();
      return std::nullopt;
    }
  };
  const std::optional<TrainingResult> result = train_and_save();
  if (result) print_result(*result, settings, run);

  if (const int signal = interruption()) {
    fmt::print("interrupted{}; {}\n", result ? "" : " before all was measured and saved",
               result || state_is_saved
                   ? fmt::format("to go on: handgrad train --resume {}", printable(run.path().string()))
                   : "the training could not be saved");
    return 128 + signal;
  }
  for (const ReplicaResult& replica : result->replicas) {
    if (replica.stopped == StopReason::non_finite) {
      throw NumericError(
          fmt::format("the network of seed {} left the finite numbers at {}; try a smaller "
                      "--learning-rate",
                      replica.seed, replica.fault));
    }
  }
  return 0;
}

}  // namespace handgrad::app
