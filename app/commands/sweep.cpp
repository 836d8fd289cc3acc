// `handgrad sweep`: trains all configurations of a TOML file with many seeds.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>

#include "cli/interruption.h"
#include "cli/settings.h"
#include "commands/commands.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/models/model.h"
#include "handgrad/platform/blas_kernels.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/platform/products.h"
#include "handgrad/platform/system.h"
#include "handgrad/platform/threads.h"
#include "run/data_set.h"
#include "run/processes.h"
#include "run/resumption.h"
#include "sweep/findings.h"
#include "sweep/shards.h"
#include "sweep/sweep_directory.h"
#include "sweep/sweep_runner.h"
#include "sweep/sweep_training.h"

namespace handgrad::app {

namespace {

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
               describe(ensemble.settings.architecture(dataset), ensemble.settings.split.deskew),
               ensemble.settings.training.batch_size, counted(ensemble.settings.training.epochs, "epoch"),
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
    configurations.push_back(
        {{"name", c.name},
         {"group", c.group},
         {"experiment", c.experiment},
         {"architecture", describe(c.settings.architecture(dataset), c.settings.split.deskew)},
         {"config", c.config}});
  }
  Json claims = Json::array();
  for (const Claim& claim : file.claims) {
    Json contrast;
    for (const auto& [name, coefficient] : claim.contrast) contrast[name] = coefficient;
    claims.push_back({{"text", claim.text}, {"measure", claim.measure}, {"contrast", contrast}});
  }
  std::string command = "handgrad sweep";
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    // All shares are the same command.
    if (argument->rfind("--shard=", 0) == 0) continue;
    if (*argument == "--shard") {
      ++argument;
    } else {
      command += " " + *argument;
    }
  }
  Json plan = {{"title", file.title},
               {"rules", file.rules},
               {"version", version()},
               {"libtorch", libtorch_version()},
               {"blas", product_libraries()},
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
  plan.update(data_request_json(options));
  plan["classes"] = dataset.classes;
  return plan;
}

// Their numbers.
std::vector<std::size_t> still_to_do(const std::vector<Job>& jobs, const SweepDirectory& directory) {
  std::vector<std::size_t> numbers;
  for (std::size_t job = 0; job < jobs.size(); ++job) {
    const std::vector<std::uint64_t>& seeds = jobs[job].seeds;
    const bool done = std::all_of(seeds.begin(), seeds.end(), [&](std::uint64_t seed) {
      return directory.has_job(seed, jobs[job].ensemble);
    });
    if (!done) numbers.push_back(job);
  }
  return numbers;
}

std::vector<Job> chosen(const std::vector<Job>& jobs, const std::vector<std::size_t>& numbers) {
  std::vector<Job> chosen;
  for (const std::size_t number : numbers) chosen.push_back(jobs.at(number));
  return chosen;
}

Options sweep_options() {
  Options options("sweep",
                  "trains all configurations of a file with many seeds; goes on where it was stopped",
                  "FILE.toml | --merge DIR…");
  options.value("seeds", "", "N", "seeds 1 to N of every configuration [what the file says]")
      .value("out", "", "DIR", "where the results go, or a sweep to go on with [the next free runs/NNN]")
      .value("seeds-together", "auto", "N",
             "seeds that train side by side, which shows in the last bits; auto: on the CPU 1, "
             "on a GPU as many as fit")
      .value("shard", "", "I/N",
             "train only share I of N, such as 3/8, in a folder of its own, DIR-3-of-8 [the whole]")
      .toggle("merge", "put together what shares have trained: name their folders in place of FILE.toml")
      .toggle("dry-run", "only say how many runs, how much time and memory");
  add_flags(options, {Setting::Group::data, Setting::Group::network, Setting::Group::training});
  add_device_flags(options);
  options.value("threads", "auto", "N",
                "trainings at a time, each on one core; auto: as many as there are cores. On a GPU: one");
  // A sweep sets these itself.
  for (const char* name : {"seed", "data-seed", "replicas"}) options.hide(name);
  return options;
}

// What the runs in a directory say; the exit code.
int print_results(const SweepDirectory& directory, std::size_t rows, double seconds) {
  const SweepResults sweep(read_sweep(directory.path()));
  print_findings(sweep);
  fmt::print("{} in {:.1f} s; saved: {}\n", counted(rows, "run"), seconds,
             printable((directory.path() / "results.csv").string()));
  if (all_failed(sweep)) {
    throw NumericError(fmt::format("{}: every run left the finite numbers; try a smaller learning_rate",
                                   printable(directory.path().string())));
  }
  return 0;
}

// The means of a share say little.
int print_share(Shard shard, const std::string& out, std::size_t rows, double seconds) {
  fmt::print("{} in {:.1f} s; saved: {}/results.csv\n", counted(rows, "run"), seconds,
             printable(directory_of(out, shard)));
  fmt::print("when all {} shares are done: handgrad sweep --merge {} --out {}\n", shard.count,
             printable(directories_of(out, shard)), printable(out));
  return 0;
}

int merge(const Options& options, const Arguments& arguments) {
  for (const std::string& argument : arguments) {
    const std::string name = argument.substr(0, argument.find('='));
    if (name.rfind("--", 0) != 0 || name == "--merge" || name == "--out") continue;
    throw UsageError(fmt::format("{}: --merge takes the settings of the shares; leave it out", name));
  }
  if (options.positional().empty()) {
    throw UsageError("--merge: name the folders of all shares, such as runs/sweep-*-of-8");
  }
  const SweepDirectory directory = merge_shards(options.positional(), options.text("out"));
  return print_results(directory, directory.write_results(), directory.seconds());
}

std::optional<Shard> wanted_shard(const Options& options) {
  if (!options.given("shard")) return std::nullopt;
  const Shard shard = read_shard(options);
  if (options.text("out").empty()) {
    throw UsageError(fmt::format("--shard: name a folder with --out; share {} of --out runs/sweep goes to {}",
                                 text_of(shard), directory_of("runs/sweep", shard)));
  }
  if (options.on("dry-run")) {
    throw UsageError("--dry-run: tells of the whole sweep; leave out --shard");
  }
  return shard;
}

void require_equal_ranks(ProcessGroup& processes, const Json& plan) {
  const auto text = [&](const std::vector<const char*>& keys) {
    Json part;
    for (const char* key : keys) part[key] = plan.value(key, Json());
    return part.dump();
  };
  require_same(
      processes,
      {{"handgrad, LibTorch, BLAS, oneDNN or libxsmm", text({"version", "libtorch", "blas"})},
       {"flags or file", text({"configurations", "seeds", "shard"})},
       {"number of seeds that fit on a GPU together, which --seeds-together sets,", text({"seeds_together"})},
       {"data", text({"data_sha256"})}});
  const std::vector<int> others = others_than_first(processes, text({"processor"}));
  if (others.empty() || !is_first(&processes)) return;
  warn(fmt::format("another processor than that of rank 0 at {}; the last bits show who trains what",
                   ranks_in_words(others)));
}

void print_start(const SweepFile& file, const SweepDirectory& directory, const std::optional<Shard>& shard,
                 std::size_t seeds, std::size_t jobs, std::size_t to_do, const std::string& where) {
  fmt::print("{}, {}in {}, {} still to do, on {}; {}\n", size_of(file, seeds),
             shard ? fmt::format("of which share {} is ", text_of(*shard)) : "", counted(jobs, "training"),
             to_do, where, printable(directory.path().string()));
  for (const std::string& claim : file.claims_left_out) {
    fmt::print("left out, because a flag took the place of an axis: {}\n", claim);
  }
  std::fflush(stdout);
}

int train_sweep(const Options& options, const Arguments& arguments, ProcessGroup* processes) {
  const std::optional<Shard> shard = wanted_shard(options);
  const SweepFile file = read_sweep_file(options.positional().front(), options);
  const std::int64_t seed_count =
      options.text("seeds").empty() ? file.seeds : options.integer("seeds", 1, most_seeds);
  std::vector<std::uint64_t> seeds(static_cast<std::size_t>(seed_count));
  std::iota(seeds.begin(), seeds.end(), 1);
  const at::Device device = read_own_device(options, processes);
  const Dataset dataset = open_dataset(read_data_request(options, data_source(options)));
  const SweepRunner runner(file, dataset, device, seeds.size(),
                           options.integer_or("auto", "seeds-together", 1, most_seeds), processes);
  const int workers = runner.workers(read_threads(options), processes);
  choose_blas_kernels(runner.widest());
  if (options.on("dry-run")) {
    if (is_first(processes)) print_dry_run(runner, file, dataset, seeds.size(), workers * size_of(processes));
    return 0;
  }

  std::vector<Job> all_jobs = runner.jobs(seeds);
  Json plan = plan_of(file, options, dataset, device, seeds, runner, workers, arguments);
  std::string out = options.text("out");
  if (shard) {
    all_jobs = jobs_of(all_jobs, *shard);
    plan.update(plan_of_shard(*shard, all_jobs));
    out = directory_of(out, *shard);
  }
  if (processes != nullptr) {
    processes->add("workers", workers);
    require_equal_ranks(*processes, plan);
    plan["workers"] = processes->add("workers", 0);  // of all, who have met in between
  }
  if (!is_first(processes)) {
    const std::vector<std::size_t> to_do = Json::parse(processes->from_first(std::string()));
    catch_interruptions();
    return train_jobs_for_first(runner, chosen(all_jobs, to_do), workers, *processes);
  }
  SweepDirectory directory(out, plan);
  const std::vector<std::size_t> to_do = still_to_do(all_jobs, directory);
  if (processes != nullptr) processes->from_first(Json(to_do).dump());
  print_start(file, directory, shard, seeds.size(), all_jobs.size(), to_do.size(),
              device.is_cpu() ? counted(plan.at("workers").get<std::int64_t>(), "core") : device.str());

  catch_interruptions();
  const double seconds = train_jobs(runner, chosen(all_jobs, to_do), workers, directory, processes);
  const std::size_t rows = directory.write_results();
  if (const int code = interruption_exit_code()) {
    fmt::print("interrupted; {} saved, the same command goes on from there\n", counted(rows, "run"));
    return code;
  }
  return shard ? print_share(*shard, options.text("out"), rows, seconds)
               : print_results(directory, rows, seconds);
}

int sweep_as_one_of(ProcessGroup* processes, const Arguments& arguments) {
  Options options = sweep_options();
  if (!options.parse(arguments)) {
    if (is_first(processes)) fmt::print("{}", options.help());
    return 0;
  }
  if (options.on("merge")) {
    if (processes != nullptr) throw UsageError("--merge: is the work of one process; start that alone");
    return merge(options, arguments);
  }
  if (options.positional().size() != 1) {
    const std::string found =
        options.positional().empty() ? "none" : fmt::format("{}", fmt::join(options.positional(), ", "));
    throw UsageError(
        fmt::format("sweep takes one TOML file, got {}; such as scripts/experiments/report.toml", found));
  }
  return train_sweep(options, arguments, processes);
}

}  // namespace

int sweep_command(const Arguments& arguments) {
  return together("start all again, and the sweep goes on",
                  [&](ProcessGroup* processes) { return sweep_as_one_of(processes, arguments); });
}

}  // namespace handgrad::app
