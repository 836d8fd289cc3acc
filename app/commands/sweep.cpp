// `handgrad sweep`: trains all configurations of a TOML file with many seeds.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <optional>

#include "cli/interruption.h"
#include "cli/progress.h"
#include "cli/settings.h"
#include "commands/commands.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/models/torchscript.h"
#include "handgrad/platform/blas.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/platform/resources.h"
#include "handgrad/platform/system.h"
#include "handgrad/platform/threads.h"
#include "handgrad/platform/workers.h"
#include "handgrad/train/footprint.h"
#include "handgrad/train/sweep.h"
#include "sweep/findings.h"
#include "sweep/sweep_directory.h"
#include "sweep/sweep_file.h"

namespace handgrad::app {

namespace {

constexpr std::int64_t calibration_steps = 400;  // of each ensemble, with --dry-run

// With so many networks side by side a GPU's time goes into their arithmetic, and more of them only make what
// an interruption can cost larger.
constexpr std::int64_t most_networks_on_gpu = 2048;

// An ensemble with one or several seeds.
struct Job {
  std::size_t ensemble = 0;
  std::vector<std::uint64_t> seeds;
  std::int64_t steps = 0;  // at most
};

// What all jobs together have done; each reports from its own thread.
class TotalProgress {
 public:
  TotalProgress(std::size_t jobs, std::int64_t steps) : jobs_(jobs), steps_(steps) {}

  void add(std::int64_t steps) {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ += steps;
    progress_.step(done_, steps_);
  }

  void end_job() {
    const std::lock_guard<std::mutex> lock(mutex_);
    progress_.note(fmt::format("{} of {} done", ++jobs_done_, counted(jobs_, "training")));
  }

 private:
  std::mutex mutex_;
  Progress progress_;
  std::size_t jobs_, jobs_done_ = 0;
  std::int64_t steps_, done_ = 0;
};

class JobObserver : public TrainingObserver {
 public:
  JobObserver(TotalProgress& progress, std::int64_t steps) : progress_(progress), steps_(steps) {}

  void on_step(std::int64_t step, std::int64_t /*total_steps*/) override {
    if (step % steps_per_record != 0) return;
    progress_.add(step - reported_);
    reported_ = step;
  }
  bool stop_requested() override {
    cut_short_ = interruption() != 0;
    return cut_short_;
  }
  // The result of a training that was cut short is not kept; another one's is, if there is time.
  void on_measuring(std::int64_t /*images*/, std::int64_t /*total*/) override {
    if (cut_short_ || interruptions() > 1) throw Interrupted();
  }

  // Steps that early stopping saved count as done.
  void end() {
    progress_.add(steps_ - reported_);
    progress_.end_job();
  }

 private:
  TotalProgress& progress_;
  std::int64_t steps_, reported_ = 0;
  bool cut_short_ = false;
};

class Calibration : public TrainingObserver {
 public:
  void on_step(std::int64_t step, std::int64_t /*total_steps*/) override { step_ = step; }
  bool stop_requested() override { return step_ >= calibration_steps; }

 private:
  std::int64_t step_ = 0;
};

// Enough digits for a chart, a third of the bytes.
double rounded(double value) {
  return std::isfinite(value) ? std::stod(fmt::format("{:.5g}", value)) : value;
}

Json weight_statistics(const Network& network, std::int64_t replica) {
  Json layers = Json::array();
  for (const Tensor& weight : network.parameters.weight) {
    const Tensor w = weight.select(0, replica).to(at::kCPU, at::kDouble);
    layers.push_back({{"mean", w.mean().item<double>()},
                      {"deviation", w.std(false).item<double>()},
                      {"least", w.min().item<double>()},
                      {"greatest", w.max().item<double>()}});
  }
  return layers;
}

class SweepRunner {
 public:
  // seeds_together: how many seeds train side by side; none: as many as do not take more time.
  SweepRunner(const SweepFile& file, const Dataset& dataset, at::Device device, std::size_t seeds,
              std::optional<std::int64_t> seeds_together)
      : file_(file), dataset_(dataset), device_(device) {
    std::vector<Settings> configurations;
    for (const SweepConfiguration& c : file.configurations) {
      configurations.push_back(c.settings);
      widest_ = std::max(widest_, c.settings.architecture(dataset).widest_hidden());
    }
    ensembles_ = group(configurations);
    for (const Ensemble& ensemble : ensembles_) {
      TrainingShape shape = check(ensemble);
      const auto images = static_cast<std::int64_t>(shape.images.train.size());
      steps_per_epoch_.push_back((images + shape.options.batch_size - 1) / shape.options.batch_size);
      const std::int64_t together = seeds_together.value_or(seeds_that_fit(shape));
      seeds_together_.push_back(std::min(together, static_cast<std::int64_t>(seeds)));
      shape.lanes = seeds_together_.back();
      shape.replicas *= shape.lanes;
      if (!largest_ || training_bytes(shape) > training_bytes(*largest_)) largest_ = shape;
    }
    require_memory(*largest_, device, free_memory(device));
  }

  const std::vector<Ensemble>& ensembles() const { return ensembles_; }
  std::int64_t widest() const { return widest_; }
  // The training that takes the most memory.
  const TrainingShape& largest() const { return *largest_; }
  // Of each ensemble.
  const std::vector<std::int64_t>& seeds_together() const { return seeds_together_; }

  std::int64_t steps(std::size_t ensemble) const {
    return ensembles_[ensemble].settings.training.epochs * steps_per_epoch_[ensemble];
  }

  // Microseconds of a step of all networks that train side by side for an ensemble, measured.
  double microseconds_per_step(std::size_t ensemble) const {
    Ensemble shortened = ensembles_[ensemble];
    shortened.settings.training.report_epochs.clear();
    std::vector<std::uint64_t> seeds(static_cast<std::size_t>(seeds_together_[ensemble]));
    std::iota(seeds.begin(), seeds.end(), 1);
    Calibration observer;
    return train_ensemble(shortened, dataset_, seeds, device_, observer).microseconds_per_step;
  }

  // What write_job stores, for each seed of the job. Networks of `with_models` whose configuration is an
  // experiment are saved in the directory.
  std::vector<Json> train(const Job& job, TrainingObserver& observer, const SweepDirectory& directory,
                          std::uint64_t with_models) const {
    const Ensemble& ensemble = ensembles_[job.ensemble];
    const EnsembleRun run = train_ensemble(ensemble, dataset_, job.seeds, device_, observer);
    std::vector<Json> results;
    for (std::size_t s = 0; s < job.seeds.size(); ++s) {
      const std::uint64_t seed = job.seeds[s];
      Json rows = Json::array();
      for (std::size_t m = 0; m < ensemble.members.size(); ++m) {
        const Ensemble::Member& member = ensemble.members[m];
        const Run& of_member = run.runs[s * ensemble.members.size() + m];
        const std::int64_t replica =
            static_cast<std::int64_t>(s) * ensemble.replicas() + static_cast<std::int64_t>(member.replica);
        const SweepConfiguration& configuration = file_.configurations[member.configuration];
        Json row = row_of(of_member, run);
        // The network holds the parameters of the longest runs.
        if (member.epochs == ensemble.settings.training.epochs) {
          row["weights"] = weight_statistics(*run.network, replica);
          if (seed == with_models && configuration.group == "experiment" && of_member.result.fault.empty()) {
            const ModelInfo info{{dataset_.rows(), dataset_.columns()},
                                 training_text(configuration.config, seed, seed, dataset_.sha256()),
                                 of_member.result.test.accuracy};
            write_file(directory.model_path(configuration.name),
                       TorchScriptModel(model_of(*run.network, replica, info)).serialize());
          }
        }
        rows.push_back(row);
      }
      results.push_back({{"seed", seed}, {"runs", rows}});
    }
    return results;
  }

 private:
  // Of a training with one seed. Throws what validate throws.
  TrainingShape check(const Ensemble& ensemble) const {
    const Settings& settings = ensemble.settings;
    const Architecture architecture = settings.architecture(dataset_);
    TrainingOptions training = settings.training;
    training.seeds.assign(static_cast<std::size_t>(ensemble.replicas()), 1);
    SplitIndices images = split_indices(dataset_.train_count(), dataset_.test_count(), settings.split);
    validate(training, architecture, ensemble.replicas(), static_cast<std::int64_t>(images.train.size()));
    return {architecture, settings.compat, training, std::move(images), ensemble.replicas()};
  }

  // Each processor core has a training of its own: more networks in one gain nothing there.
  std::int64_t seeds_that_fit(const TrainingShape& of_seed) const {
    if (device_.is_cpu()) return 1;
    const std::int64_t fitting =
        replicas_that_fit(of_seed, usable_bytes(free_memory(device_), device_), true);
    return std::max<std::int64_t>(1, std::min(fitting, most_networks_on_gpu) / of_seed.replicas);
  }

  Json row_of(const Run& run, const EnsembleRun& ensemble) const {
    const auto networks = static_cast<double>(ensemble.network->replicas());
    const ReplicaResult& result = run.result;
    const SweepConfiguration& configuration = file_.configurations[run.configuration];
    const auto steps = static_cast<double>(result.steps);
    const auto per_epoch = static_cast<double>(ensemble.steps_per_epoch);
    Json row = {{"configuration", configuration.name},
                {"group", configuration.group},
                {"seed", run.seed},
                {"stopped", to_string(result.stopped)},
                {"fault", result.fault},
                {"steps", result.steps},
                {"steps_per_epoch", ensemble.steps_per_epoch},
                {"epochs", steps / per_epoch},
                {"best_step", result.best_step},
                {"seconds", steps * ensemble.microseconds_per_step / networks / 1e6},
                {"train_loss", result.train.loss},
                {"train_accuracy", result.train.accuracy},
                {"validation_loss", result.validation ? Json(result.validation->loss) : Json()},
                {"validation_accuracy", result.validation ? Json(result.validation->accuracy) : Json()},
                {"test_loss", result.test.loss},
                {"test_accuracy", result.test.accuracy},
                {"l2_penalty", result.l2_penalty},
                {"train_cost", result.train_cost},
                {"validation_cost", result.validation_cost ? Json(*result.validation_cost) : Json()}};
    row["roughness"] = roughness(run.train_loss);
    Json train_curve = Json::array();
    for (const double loss : run.train_loss) train_curve.push_back(rounded(loss));
    Json evaluations = Json::array();
    for (const Run::Evaluation& e : run.evaluations) evaluations.push_back({e.step, rounded(e.loss)});
    row["train_curve"] = train_curve;
    row["evaluations"] = evaluations;
    return row;
  }

  const SweepFile& file_;
  const Dataset& dataset_;
  at::Device device_;
  std::vector<Ensemble> ensembles_;
  std::vector<std::int64_t> steps_per_epoch_, seeds_together_;
  std::int64_t widest_ = 0;
  std::optional<TrainingShape> largest_;
};

// How many trainings run at a time. Throws DeviceError where memory is too short for those asked for.
int workers_of(const SweepRunner& runner, at::Device device, std::optional<int> asked) {
  if (!device.is_cpu()) return 1;
  const std::int64_t free = free_memory(device);
  if (asked) {
    require_memory(runner.largest(), device, free, *asked);
    return *asked;
  }
  const std::int64_t fitting = usable_bytes(free, device) / training_bytes(runner.largest());
  return static_cast<int>(std::clamp<std::int64_t>(fitting, 1, available_cores()));
}

// Most memory that the program has held so far.
double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// "0.012 s", "3.4 s", "12.3 minutes".
std::string duration(double seconds) {
  if (seconds >= 60) return fmt::format("{:.1f} minutes", seconds / 60);
  return seconds < 1 ? fmt::format("{:.2g} s", seconds) : fmt::format("{:.1f} s", seconds);
}

std::string names_of(const SweepFile& file, const Ensemble& ensemble) {
  constexpr std::size_t most_names = 8;
  std::vector<std::string> names;
  for (const Ensemble::Member& member : ensemble.members) {
    names.push_back(file.configurations[member.configuration].name);
  }
  const std::size_t shown = std::min(names.size(), most_names);
  const std::string others = names.size() > shown ? fmt::format("; and {} more", names.size() - shown) : "";
  names.resize(shown);
  return fmt::format("{}{}", fmt::join(names, "; "), others);
}

// "6 configurations × 3 seeds = 18 runs"
std::string size_of(const SweepFile& file, std::size_t seeds) {
  const std::size_t configurations = file.configurations.size();
  return fmt::format("{} × {} = {}", counted(configurations, "configuration"), counted(seeds, "seed"),
                     counted(configurations * seeds, "run"));
}

// Runs, time and memory, by training each ensemble for a moment.
void print_dry_run(const SweepRunner& runner, const SweepFile& file, const Dataset& dataset,
                   std::size_t seeds, int workers) {
  set_threads(1);
  const double before = peak_megabytes();
  double seconds = 0;
  fmt::print("{}, in {} a seed:\n", size_of(file, seeds), counted(runner.ensembles().size(), "ensemble"));
  for (std::size_t e = 0; e < runner.ensembles().size(); ++e) {
    const Ensemble& ensemble = runner.ensembles()[e];
    const double step = runner.microseconds_per_step(e);
    const double whole = step * static_cast<double>(runner.steps(e)) / 1e6;
    const auto together = static_cast<std::size_t>(runner.seeds_together()[e]);
    const std::size_t groups = (seeds + together - 1) / together;
    seconds += whole * static_cast<double>(groups);
    fmt::print("  {}{} × {}, batch {}, {}: {}, {} of {:.0f} µs, {}\n    {}\n",
               together > 1 ? fmt::format("{} seeds × ", together) : "", ensemble.replicas(),
               ensemble.settings.architecture(dataset).description(), ensemble.settings.training.batch_size,
               counted(ensemble.settings.training.epochs, "epoch"),
               counted(ensemble.members.size(), "configuration"), counted(runner.steps(e), "step"), step,
               duration(whole), names_of(file, ensemble));
    std::fflush(stdout);
  }
  const double memory = before + workers * (peak_megabytes() - before);
  fmt::print("the steps take {} on {} if no run stops early, and evaluation comes on top; about {:.0f} MB\n",
             duration(seconds / workers), counted(workers, "core"), memory);
}

Json plan_of(const SweepFile& file, const Options& options, const Dataset& dataset, at::Device device,
             const std::vector<std::uint64_t>& seeds, const SweepRunner& runner, int workers,
             const Arguments& arguments) {
  Json configurations = Json::array();
  for (const SweepConfiguration& c : file.configurations) {
    configurations.push_back({{"name", c.name},
                              {"group", c.group},
                              {"experiment", c.experiment},
                              {"architecture", c.settings.architecture(dataset).description()},
                              {"config", c.config}});
  }
  Json claims = Json::array();
  for (const Claim& claim : file.claims) {
    Json contrast;
    for (const auto& [name, coefficient] : claim.contrast) contrast[name] = coefficient;
    claims.push_back({{"text", claim.text}, {"measure", claim.measure}, {"contrast", contrast}});
  }
  std::string command = "handgrad sweep";
  for (const std::string& argument : arguments) command += " " + argument;
  return {{"title", file.title},
          {"rules", file.rules},
          {"version", version()},
          {"libtorch", libtorch_version()},
          {"blas", blas_library().name},
          {"processor", processor_name(device)},
          {"device", device.str()},
          {"workers", workers},
          {"command", command},
          {"data", config_data(options)},
          {"classes", dataset.classes},
          {"data_sha256", dataset.sha256()},
          {"loss", file.loss ? Json(*file.loss) : Json()},
          {"seeds", seeds},
          {"ensembles", runner.ensembles().size()},
          {"seeds_together", runner.seeds_together()},
          {"claims", claims},
          {"published", file.published},
          {"reference", file.reference},
          {"compared_weights", file.compared_weights},
          {"configurations", configurations}};
}

// Seeds that train side by side always do, so that a sweep that goes on comes to the same bits.
std::vector<Job> jobs_of(const SweepRunner& runner, const std::vector<std::uint64_t>& seeds) {
  std::vector<Job> jobs;
  std::vector<std::size_t> begun(runner.ensembles().size());  // seeds of each ensemble
  const auto all_begun = [&] {
    return std::all_of(begun.begin(), begun.end(), [&](std::size_t count) { return count == seeds.size(); });
  };
  while (!all_begun()) {
    for (std::size_t e = 0; e < begun.size(); ++e) {
      const auto together = static_cast<std::size_t>(runner.seeds_together()[e]);
      const std::size_t end = std::min(begun[e] + together, seeds.size());
      if (begun[e] == end) continue;
      const auto first = seeds.begin();
      jobs.push_back(
          {e,
           {first + static_cast<std::ptrdiff_t>(begun[e]), first + static_cast<std::ptrdiff_t>(end)},
           runner.steps(e)});
      begun[e] = end;
    }
  }
  return jobs;
}

Options sweep_options() {
  Options options("sweep",
                  "trains all configurations of a file with many seeds; goes on where it was stopped",
                  "FILE.toml");
  options.value("seeds", "", "N", "seeds 1 to N of every configuration [what the file says]")
      .value("out", "", "DIR", "where the results go, or a sweep to go on with [the next free runs/NNN]")
      .value("seeds-together", "auto", "N",
             "seeds that train side by side, which shows in the last bits; auto: on the CPU 1, "
             "on a GPU as many as fit")
      .toggle("dry-run", "only say how many runs, how much time and memory");
  add_flags(options, {Setting::Group::data, Setting::Group::network, Setting::Group::training});
  add_device_flags(options);
  options.value("threads", "auto", "N",
                "trainings at a time, each on one core; auto: as many as there are cores. On a GPU: one");
  // A sweep sets these itself.
  for (const char* name : {"seed", "data-seed", "replicas"}) options.hide(name);
  return options;
}

}  // namespace

int sweep_command(const Arguments& arguments) {
  Options options = sweep_options();
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (options.positional().size() != 1) {
    throw UsageError(fmt::format("sweep takes one TOML file, got {}; such as scripts/experiments/report.toml",
                                 options.positional().size()));
  }
  const SweepFile file = read_sweep_file(options.positional().front(), options);
  const std::int64_t seed_count =
      options.text("seeds").empty() ? file.seeds : options.integer("seeds", 1, most_seeds);
  std::vector<std::uint64_t> seeds(static_cast<std::size_t>(seed_count));
  std::iota(seeds.begin(), seeds.end(), 1);
  const at::Device device = read_device(options);
  const Dataset dataset = load_dataset(data_source(options), read_classes(options));
  const SweepRunner runner(file, dataset, device, seeds.size(),
                           options.integer_or("auto", "seeds-together", 1, most_seeds));
  const int workers = workers_of(runner, device, read_threads(options));
  choose_blas_kernels(runner.widest());
  if (options.on("dry-run")) {
    print_dry_run(runner, file, dataset, seeds.size(), workers);
    return 0;
  }

  SweepDirectory directory(options.text("out"),
                           plan_of(file, options, dataset, device, seeds, runner, workers, arguments));
  const std::vector<Job> all_jobs = jobs_of(runner, seeds);
  std::vector<Job> jobs;
  std::int64_t steps = 0;
  for (const Job& job : all_jobs) {
    const bool done = std::all_of(job.seeds.begin(), job.seeds.end(),
                                  [&](std::uint64_t seed) { return directory.has_job(seed, job.ensemble); });
    if (done) continue;
    jobs.push_back(job);
    steps += job.steps;
  }
  fmt::print("{}, in {}, {} still to do, on {}; {}\n", size_of(file, seeds.size()),
             counted(all_jobs.size(), "training"), jobs.size(),
             device.is_cpu() ? counted(workers, "core") : device.str(), printable(directory.path().string()));
  for (const std::string& claim : file.claims_left_out) {
    fmt::print("left out, because a flag took the place of an axis: {}\n", claim);
  }
  std::fflush(stdout);

  catch_interruptions();
  const auto begin = std::chrono::steady_clock::now();
  std::mutex mutex;  // of the directory's clock
  auto counted_until = begin;
  const auto count_time = [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto now = std::chrono::steady_clock::now();
    directory.add_seconds(std::chrono::duration<double>(now - counted_until).count());
    counted_until = now;
  };
  {
    TotalProgress progress(jobs.size(), steps);
    std::vector<std::function<void()>> work;
    for (const Job& job : jobs) {
      work.emplace_back([&, job] {
        if (interruption() != 0) return;
        // The cores have nothing to do but to shuffle for a GPU.
        if (device.is_cuda()) set_threads(available_cores());
        JobObserver observer(progress, job.steps);
        try {
          const std::vector<Json> results = runner.train(job, observer, directory, seeds.front());
          for (std::size_t s = 0; s < results.size(); ++s) {
            directory.write_job(job.seeds[s], job.ensemble, results[s]);
          }
        } catch (const Interrupted&) {
          return;
        }
        count_time();
        observer.end();
      });
    }
    run_jobs(work, workers);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  count_time();
  const std::size_t rows = directory.write_results();
  if (const int signal = interruption()) {
    fmt::print("interrupted; {} saved, the same command goes on from there\n", counted(rows, "run"));
    return 128 + signal;
  }
  const Sweep sweep = read_sweep(directory.path());
  print_findings(sweep);
  fmt::print("{} in {:.1f} s; saved: {}\n", counted(rows, "run"), took.count(),
             printable((directory.path() / "results.csv").string()));
  if (all_failed(sweep)) {
    throw NumericError(fmt::format("{}: every run left the finite numbers; try a smaller learning_rate",
                                   printable(directory.path().string())));
  }
  return 0;
}

}  // namespace handgrad::app
