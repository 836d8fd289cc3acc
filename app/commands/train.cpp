// `handgrad train`: trains networks into a run directory.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "cli/interruption.h"
#include "cli/settings.h"
#include "commands/commands.h"
#include "commands/train_result.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/augmented_picture.h"
#include "handgrad/data/picture.h"
#include "handgrad/models/model.h"
#include "handgrad/platform/blas.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/platform/products.h"
#include "handgrad/platform/system.h"
#include "run/beginning.h"
#include "run/choice.h"
#include "run/data_set.h"
#include "run/processes.h"
#include "run/recorder.h"
#include "run/resumption.h"
#include "run/run_directory.h"
#include "run/run_result.h"
#include "run/tensorboard.h"
#include "run/training_session.h"
#include "sweep/toml_file.h"

namespace handgrad::app {

namespace {

Json to_json(const LossAndAccuracy& metrics) {
  return {{"loss", metrics.loss}, {"accuracy", metrics.accuracy}};
}

Options train_options() {
  Options options("train", "trains networks and saves the best parameters", "");
  add_flags(options, {Setting::Group::data, Setting::Group::network, Setting::Group::training});
  add_machine_flags(options);
  options.value("out", "", "DIR", "where the run goes [the next free runs/NNN]")
      .toggle("overwrite", "replace a run that is in --out")
      .value("config", "", "FILE",
             "a run's config.json, or a recipe (a sweep's file), to take settings from; flags win")
      .value("resume", "", "DIR",
             "go on with the run in DIR, to the same bits as if it had not stopped; with more --epochs, from "
             "its end")
      .value(
          "train-on-all", "", "DIR",
          "train on all images but the test set, with the settings of the run in DIR and for as long as its "
          "validation chose")
      .value("checkpoint-every", "auto", "N|Ns|Nep",
             fmt::format("steps, seconds or epochs between checkpoints; auto: an epoch, at least {:.0f} s",
                         Schedule::least_seconds))
      .value(
          "init", "none", "FILE",
          "begin with the network of this safetensors file, state dict, TorchScript file or run, which also "
          "gives --hidden, --batch-norm and --deskew")
      .value(
          "log", "none", "LIST",
          "what else to write of the training: tensorboard, an event file in the run's directory, or none");
  return options;
}

// What a model file says of network `r`. One that was not trained any further keeps what it said.
ModelInfo info_of(const TrainingResult& result, std::size_t r, const Dataset& dataset,
                  const Settings& settings, const Circumstances& now) {
  ModelInfo info = model_info(dataset, settings.split.deskew);
  const ReplicaResult& replica = result.replicas[r];
  if (replica.best_step == 0) {
    info.training_config = now.inherited.training_config;
    info.batch_norm_folded = now.inherited.batch_norm_folded;
  }
  if (info.training_config.empty()) {
    info.training_config =
        training_text(now.config, replica.seed, settings.training.data_seeds.front(), now.data_sha256);
  }
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

// What the command line asks for: where a run goes on or begins, and its settings.
struct TrainingRequest {
  std::optional<RunDirectory> run;     // to go on with
  std::optional<TrainingState> state;  // to go on from
  std::string note;                    // about that, for the user
  Json earlier = Json::object();       // the config.json whose settings are taken over
  std::optional<Choice> choice;
  std::optional<Beginning> beginning;
  Settings settings;
  bool tensorboard = false;  // whether --log asks for it
};

// A run's config.json, or the fixed settings of a sweep's file.
Json read_config(const std::string& file) {
  return std::filesystem::path(file).extension() == ".toml" ? fixed_settings(file) : read_json(file);
}

// What rank 0 has read of the run that goes on, which but one process can hold.
void share_run(TrainingRequest& request, ProcessGroup& processes) {
  const bool first = is_first(&processes);
  const std::string config = processes.from_first(first ? request.run->config().dump() : "");
  const std::string state = processes.from_first(request.state ? to_checkpoint(*request.state) : "");
  if (first) return;
  request.earlier = Json::parse(config);
  if (!state.empty()) request.state = parse_checkpoint(state, "the checkpoint of rank 0");
}

void read_training_request(TrainingRequest& request, Options& options, ProcessGroup* processes) {
  request.choice = read_choice(options);
  if (options.given("resume")) {
    for (const char* flag : {"out", "overwrite", "config", "init"}) {
      if (!options.given(flag)) continue;
      throw UsageError(fmt::format("--{}: a run that goes on has its own; leave it out with --resume", flag));
    }
    if (is_first(processes)) {
      request.run.emplace(std::filesystem::path(options.text("resume")));
      request.state = request.run->read_checkpoint(request.note);
      request.earlier = request.run->config();
    }
    if (processes != nullptr) share_run(request, *processes);
    settings_of_run(request.earlier,
                    (std::filesystem::path(options.text("resume")) / "config.json").string());
  }
  const std::string& config_file = options.text("config");
  if (request.choice) {
    request.earlier = request.choice->config;
  } else if (!config_file.empty()) {
    request.earlier = read_config(config_file);
  }
  options.apply_config(request.earlier, config_file.empty() ? "config.json" : config_file, config_keys());
  if (!request.state) request.beginning = read_beginning(options, request.earlier);
  request.settings = read_settings(options);
  request.tensorboard = asks_for_tensorboard(options);
  if (request.beginning && request.settings.replicas > 1) {
    throw UsageError("--replicas: networks that all begin with that of --init stay equal; leave it out");
  }
}

Json summary_json(const TrainingResult& result, const TrainingSession& session, const Settings& settings,
                  const Circumstances& now, bool tf32) {
  const Architecture& architecture = session.network->architecture();
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
    if (settings.training.ema > 0) entry["averaged"] = replica.averaged;
    if (settings.training.reestimate_batch_norm) entry["reestimated"] = replica.reestimated;
    if (!replica.fault.empty()) entry["fault"] = replica.fault;
    replicas.push_back(entry);
  }
  return {{"steps", result.steps},
          {"epochs", result.epochs},
          {"seconds", result.seconds},
          {"microseconds_per_step", result.microseconds_per_step},
          {"stopped", to_string(result.stopped)},
          {"data", now.config.at("data")},
          {"data_sha256", now.data_sha256},
          {"architecture", describe(architecture, settings.split.deskew)},
          {"parameters", architecture.parameter_count()},
          {"device", session.device.str()},
          {"tf32", tf32},
          {"threads", session.threads},
          {"processes", size_of(session.network->processes())},
          {"blas", product_libraries()},
          {"libtorch", libtorch_version()},
          {"version", version()},
          {"replicas", replicas}};
}

Circumstances circumstances(const TrainingRequest& request, const TrainingSession& session) {
  Json config = config_json(request.settings);
  if (request.beginning) {
    config["init"] = request.beginning->file;
    config[init_sha256] = request.beginning->sha256;
  }
  if (request.choice) config[chosen_by] = request.choice->run;
  if (request.tensorboard) config["log"] = tensorboard_log;
  const bool any_threads = request.settings.network.shards > 1;
  return {config, session.data_sha256,
          fmt::format("handgrad {}, LibTorch {}, {}, {}, {}", version(), libtorch_version(),
                      product_libraries(), any_threads ? "any threads" : counted(session.threads, "thread"),
                      session.device.is_cpu() ? "cpu" : processor_name(session.device)),
          request.beginning ? request.beginning->model.info : ModelInfo()};
}

// A file of a run that writes no events any more is brought to the checkpoint all the same: it may do so again.
void open_events(RunDirectory& run, const TrainingRequest& request) {
  std::error_code unreadable;
  if (!request.tensorboard && !std::filesystem::exists(run.events_path(), unreadable)) return;
  if (!run.open_events(request.state)) {
    warn(fmt::format("{} has lost events that were there at the checkpoint; those before them are kept",
                     run.events_path().string()));
  }
}

// Brings the run that goes on to its checkpoint, or begins another.
RunDirectory& open_run(TrainingRequest& request, const Options& options, Circumstances& now,
                       const Dataset& dataset) {
  if (!request.run) {
    request.run.emplace(options.text("out"), options.on("overwrite"), now.config);
    open_events(*request.run, request);
    return *request.run;
  }
  go_on_as(now, request.earlier, request.state, dataset.name);
  if (!request.note.empty()) warn(request.note);
  if (!request.run->go_on(now.config, request.state)) {
    warn(fmt::format("{} has lost lines that were there at the checkpoint; the others are kept",
                     (request.run->path() / "metrics.jsonl").string()));
  }
  open_events(*request.run, request);
  return *request.run;
}

// What augmentation makes of the images, as a PNG file; nothing where there is none.
std::string augmented_png(const Examples& images, const TrainingOptions& training) {
  const AugmentOptions augment = training.augment.options();
  if (!augment.any()) return "";
  return std::string(as_text(serialize_png(augmented_picture(images, augment, training.data_seeds.front()))));
}

void print_start(const TrainingRequest& request, const TrainingSession& session, const Options& options) {
  if (session.device.is_cpu() && blas_library().is_slow) {
    warn("matrix products run on a slow reference BLAS; `handgrad doctor` says what to do");
  }
  if (session.device.is_cpu() && options.text("device") == "auto") {
    if (const auto unused = unused_gpu()) warn(fmt::format("{}: {}", unused->why, unused->remedy));
  }
  const Architecture& architecture = session.network->architecture();
  const std::int64_t replicas = request.settings.replicas;
  const int processes = size_of(session.network->processes());
  fmt::print("{}, {} parameters{}, on {} with {}{}\n{}: {} train, {} validation, {} test images; run: {}\n",
             describe(architecture, request.settings.split.deskew), architecture.parameter_count(),
             replicas > 1 ? fmt::format(" × {} networks", replicas) : "", session.device.str(),
             product_libraries(), processes > 1 ? fmt::format(" in {} processes", processes) : "",
             printable(session.dataset.name), session.splits.train.count(), session.splits.validation.count(),
             session.splits.test.count(), printable(request.run->path().string()));
  if (request.choice) {
    fmt::print("all {} images; chosen by {}: {}\n", session.splits.train.count(),
               printable(request.choice->run), request.choice->words);
  }
  if (options.given("resume")) {
    fmt::print("going on after step {}\n", request.state ? request.state->number("step") : 0);
  }
  std::fflush(stdout);
}

void print_interrupted(const RunDirectory& run, bool measured, bool saved) {
  fmt::print("interrupted{}; {}\n", measured ? "" : " before all was measured and saved",
             saved ? fmt::format("to go on: handgrad train --resume {}", printable(run.path().string()))
                   : "the training could not be saved");
}

void require_finite_networks(const TrainingResult& result) {
  for (const ReplicaResult& replica : result.replicas) {
    if (replica.stopped != StopReason::non_finite) continue;
    throw NumericError(
        fmt::format("the network of seed {} left the finite numbers at {}; try a smaller --learning-rate",
                    replica.seed, replica.fault));
  }
}

// As a rank whose results rank 0 writes.
int train_along(TrainingSession& session, const TrainingRequest& request, ProcessGroup& processes) {
  catch_interruptions();
  ObserverList nobody{};
  SharedObserver observer(processes, nobody);
  const TrainingResult trained = train(*session.network, session.splits, request.settings.training, observer,
                                       request.state ? &*request.state : nullptr);
  require_a_finite_network(trained);
  if (const int code = interruption_exit_code()) return code;
  require_finite_networks(trained);
  return 0;
}

void require_equal_ranks(ProcessGroup& processes, const Circumstances& now) {
  Json settings = now.config;
  settings.erase("data");  // which each machine may have in another place
  require_same(processes, {{"handgrad, LibTorch, BLAS, oneDNN or libxsmm", now.platform},
                           {"flags", settings.dump()},
                           {"data", now.data_sha256}});
}

// As the only process, or as rank 0.
int train_and_write(TrainingSession& session, TrainingRequest& request, const Options& options,
                    const Schedule& schedule, Circumstances& now, ProcessGroup* processes) {
  const Settings& settings = request.settings;
  RunDirectory& run = open_run(request, options, now, session.dataset);
  print_start(request, session, options);

  catch_interruptions();
  std::optional<TrainingResult> result;
  bool state_is_saved = false;
  {
    Progress progress;
    Recorder recorder(run, progress, settings.replicas, schedule, checkpoint_text(now));
    try {
      ObserverList observers{&recorder, &progress};
      std::optional<TensorBoardLog> tensorboard;
      if (request.tensorboard) {
        observers.add(tensorboard.emplace(run, progress, *session.network, now.config,
                                          augmented_png(session.splits.train, settings.training)));
      }
      std::optional<SharedObserver> shared;
      if (processes != nullptr) shared.emplace(*processes, observers);
      TrainingObserver& observer = shared ? static_cast<TrainingObserver&>(*shared) : observers;
      TrainingResult trained = train(*session.network, session.splits, settings.training, observer,
                                     request.state ? &*request.state : nullptr);
      if (tensorboard) tensorboard->on_end(trained.steps, trained.stopped);
      require_a_finite_network(trained);
      std::vector<ModelInfo> infos;
      for (std::size_t r = 0; r < trained.replicas.size(); ++r) {
        infos.push_back(info_of(trained, r, session.dataset, settings, now));
      }
      save_result(run, *session.network, infos,
                  summary_json(trained, session, settings, now, options.on("tf32")), progress,
                  recorder.state_is_saved());
      run.flush_logs();
      result = std::move(trained);
    } catch (const Interrupted&) {
      state_is_saved = recorder.state_is_saved();
    }
  }
  if (result) print_result(*result, settings, run);
  if (const int code = interruption_exit_code()) {
    print_interrupted(run, result.has_value(), result || state_is_saved);
    return code;
  }
  require_finite_networks(*result);
  return 0;
}

int train_as_one_of(ProcessGroup* processes, const Arguments& arguments) {
  Options options = train_options();
  if (!options.parse(arguments)) {
    if (is_first(processes)) fmt::print("{}", options.help());
    return 0;
  }
  const Schedule schedule(options);
  TrainingRequest request;
  read_training_request(request, options, processes);
  TrainingSession session = prepare_training(request.settings, options, processes);
  if (request.beginning) {
    begin_with(*session.network, *request.beginning, session.images());
    request.settings.training.initialise = false;
  }
  Circumstances now = circumstances(request, session);
  if (processes != nullptr) require_equal_ranks(*processes, now);
  if (!is_first(processes)) return train_along(session, request, *processes);
  return train_and_write(session, request, options, schedule, now, processes);
}

}  // namespace

int train_command(const Arguments& arguments) {
  return together("start all again, with --resume where a checkpoint was written",
                  [&](ProcessGroup* processes) { return train_as_one_of(processes, arguments); });
}

}  // namespace handgrad::app
