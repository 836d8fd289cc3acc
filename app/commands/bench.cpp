// `handgrad bench`: how long a training step takes on this machine, beside what bounds it and its peers.
#include <fmt/format.h>

#include <filesystem>

#include "cli/settings.h"
#include "commands/commands.h"
#include "commands/output_file.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/check/benchmark.h"
#include "handgrad/files/file.h"
#include "handgrad/platform/blas_kernels.h"
#include "handgrad/platform/products.h"
#include "handgrad/platform/system.h"
#include "handgrad/platform/threads.h"
#include "run/data_set.h"

namespace handgrad::app {

namespace {

constexpr std::int64_t largest_batch = 128;  // of all but the tables of --scaling

std::string row(const std::string& name, const Timing& timing, const StepBenchmark& of) {
  return fmt::format("  {:<34}{:>10.1f}{:>10.2f}   {:.1f} to {:.1f}\n", name, timing.median,
                     timing.median / of.floor.median, timing.fastest, timing.slowest);
}

void print(const StepBenchmark& result) {
  const bool on_cpu = result.device.is_cpu();
  fmt::print("\n{}, batch {}: {:.2f} MFLOP a step\n  {:<34}{:>10}{:>10}   range\n",
             result.architecture.description(), result.batch_size,
             step_flops(result.architecture, result.batch_size) / 1e6, "", "µs/step", "× floor");
  fmt::print("{}{}{}{}", row("arithmetic floor, by the BLAS", result.floor, result),
             row("its matrix products alone", result.products, result),
             row(on_cpu ? "handgrad, a second core gathers" : "handgrad, a CUDA graph", result.step, result),
             row(on_cpu ? "handgrad on one core" : "handgrad without the graph", result.step_alone, result));
  for (const auto& [replicas, timing] : result.replica) {
    fmt::print("{}", row(fmt::format("handgrad, each of {} networks", replicas), timing, result));
  }
  fmt::print("{}  handgrad / autograd: {:.3f}, {} {:.3f}\n",
             row("LibTorch autograd + SGD", result.autograd, result),
             result.step.median / result.autograd.median, on_cpu ? "on one core" : "without the graph",
             result.step_alone.median / result.autograd.median);
  std::fflush(stdout);
}

Json to_json(const StepBenchmark& result) {
  Json replica_us = Json::object();
  for (const auto& [replicas, timing] : result.replica) replica_us[std::to_string(replicas)] = timing.median;
  return {{"architecture", result.architecture.description()},
          {"batch_size", result.batch_size},
          {"step_us", result.step.median},
          {"step_us_range", {result.step.fastest, result.step.slowest}},
          {"step_alone_us", result.step_alone.median},
          {"autograd_us", result.autograd.median},
          {"products_us", result.products.median},
          {"floor_us", result.floor.median},
          {"replica_us", replica_us}};
}

// A row of a scaling table, printed and returned.
Json scaling_row(const Examples& examples, const Architecture& architecture, std::int64_t batch_size,
                 int rounds) {
  const StepBenchmark result = benchmark_step(examples, architecture, batch_size, {}, false, rounds);
  const double speed = result.gflops(result.step_alone.median);
  const double of_blas = result.gflops(result.floor.median);
  fmt::print("  {:<22}{:>7}{:>14.1f}{:>12.3f}{:>11.1f}{:>9.0f} %\n", architecture.description(), batch_size,
             result.step_alone.median, result.step_alone.median / static_cast<double>(batch_size), speed,
             100 * speed / of_blas);
  std::fflush(stdout);
  return {{"architecture", architecture.description()},
          {"batch_size", batch_size},
          {"step_alone_us", result.step_alone.median},
          {"gflops", speed},
          {"blas_gflops", of_blas}};
}

Json measure_scaling(const Examples& examples, const Architecture& architecture, int rounds) {
  fmt::print("\n  {:<22}{:>7}{:>14}{:>12}{:>11}{:>11}\n", "", "batch", "µs/step", "µs/image", "GFLOP/s",
             "of BLAS");
  Json rows = Json::array();
  for (std::int64_t batch_size = 32; batch_size <= 4096; batch_size *= 2) {
    if (batch_size <= examples.count())
      rows.push_back(scaling_row(examples, architecture, batch_size, rounds));
  }
  for (const std::int64_t width : {20, 64, 128, 256, 512, 1024, 2048}) {
    Architecture wide = architecture;
    wide.hidden = {width, width};
    rows.push_back(scaling_row(examples, wide, largest_batch, rounds));
  }
  return rows;
}

Json measure_workers(const Examples& examples, const Architecture& architecture, int rounds) {
  const WorkersBenchmark result = benchmark_workers(examples, architecture, 32, 16, rounds);
  const double ratio = result.two_workers.median / result.one_worker.median;
  fmt::print(
      "\ntwo groups of {} networks, batch 32, a step of both: {:.0f} µs on one core, {:.0f} µs on two: "
      "{:.2f} of the time\n",
      result.replicas, result.one_worker.median, result.two_workers.median, ratio);
  return {{"replicas", result.replicas},
          {"one_worker_us", result.one_worker.median},
          {"two_workers_us", result.two_workers.median},
          {"ratio", ratio}};
}

// Of --json, which is written at the end; "" for none.
std::filesystem::path figures_file(const Options& options) {
  namespace fs = std::filesystem;
  fs::path file = options.text("json");
  if (file.empty()) return file;
  if (fs::is_directory(file) || !fs::is_directory(fs::absolute(file).parent_path())) {
    throw options.wrong("json", "a file in a directory that is there");
  }
  require_replaceable(file, "json", options);
  return file;
}

// A step beside what bounds it and its peers, for several batch sizes: printed, and added to the figures.
void measure_steps(Json& json, const Examples& examples, const Architecture& architecture, bool brief,
                   int rounds) {
  const bool on_cpu = examples.pixels.is_cpu();
  const auto measure = [&](const char* key, const Architecture& network, std::int64_t batch_size,
                           const std::vector<std::int64_t>& replicas) {
    const StepBenchmark result = benchmark_step(examples, network, batch_size, replicas, true, rounds);
    print(result);
    json[key] = to_json(result);
  };
  std::vector<std::int64_t> replicas = {4, 16, 64};
  if (!on_cpu) replicas.insert(replicas.end(), {256, 1024});
  measure("batch_32", architecture, 32, replicas);
  if (!brief) {
    measure("batch_64", architecture, 64, replicas);
    measure("batch_128", architecture, largest_batch, replicas);
    Architecture wide = architecture;
    wide.hidden = {512, 512};
    measure("wide", wide, largest_batch, {});
    if (on_cpu) json["two_groups"] = measure_workers(examples, architecture, rounds);
  }
}

Options bench_options() {
  Options options(
      "bench", "times a training step beside what bounds it and its peers; one core computes, or a GPU", "");
  options.value("data", "", "DIR",
                "the four IDX files or `synthetic` [MNIST_DIR, else data/mnist, else synthetic]");
  add_data_flags(options);
  options.value("rounds", "15", "N", "how often each contender runs, all in turn; the tables show medians")
      .toggle("brief", "batch 32 only")
      .toggle("scaling", "the cost over batch sizes and layer widths instead, on the CPU")
      .value("json", "", "FILE", "where to write the figures as well");
  add_force_flag(options);
  add_device_flags(options, "cpu");
  options.hide("no-cuda-graph");  // both are measured
  return options;
}

}  // namespace

int bench_command(const Arguments& arguments) {
  Options options = bench_options();
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (options.on("brief") && options.on("scaling")) {
    throw UsageError("--brief: is not there for --scaling; give one of the two");
  }
  const int rounds = static_cast<int>(options.integer("rounds", 1, 1000));
  const std::filesystem::path file = figures_file(options);
  const at::Device device = read_device(options);
  if (options.on("scaling") && !device.is_cpu()) {
    throw UsageError(fmt::format("--scaling: is for the CPU, got {}; leave --device out", device.str()));
  }
  set_threads(1);
  // One choice for the whole program, so the wide network of the first table runs on the narrow ones'
  // kernels.
  choose_blas_kernels(options.on("scaling") ? widest_layer : 0);
  const std::string source = data_source_or_synthetic(options);
  const Dataset dataset = open_dataset(read_data_request(options, source));
  const Splits splits = split(dataset, {}, at::TensorOptions(device).dtype(at::kFloat));
  const Examples& examples = splits.train;
  if (examples.count() < largest_batch) {
    throw DataError(fmt::format("{}: has {} training images, but bench needs {}; use `--data synthetic`",
                                source, examples.count(), largest_batch));
  }
  Architecture architecture;
  architecture.inputs = dataset.rows() * dataset.columns();
  architecture.classes = dataset.classes;

  const std::string processor = processor_name(device);
  fmt::print("handgrad {}, LibTorch {}, {}; {}; {}: {} training images\n", version(), libtorch_version(),
             device.is_cpu() ? product_libraries() + ", one thread" : device.str(), processor,
             printable(dataset.name), examples.count());
  Json json = {{"version", version()},   {"libtorch", libtorch_version()}, {"blas", product_libraries()},
               {"device", device.str()}, {"tf32", options.on("tf32")},     {"processor", processor},
               {"data", dataset.name},   {"images", examples.count()},     {"rounds", rounds}};
  if (options.on("scaling")) {
    json["scaling"] = measure_scaling(examples, architecture, rounds);
  } else {
    measure_steps(json, examples, architecture, options.on("brief"), rounds);
  }
  if (!file.empty()) write_file(file, to_text(json, 2) + "\n");
  return 0;
}

}  // namespace handgrad::app
