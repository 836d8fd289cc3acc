// `handgrad gradcheck`: proves the gradients of a network, on the user's own setting.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "cli/settings.h"
#include "commands/commands.h"
#include "commands/output_file.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/check/gradcheck.h"
#include "handgrad/data/batches.h"
#include "handgrad/files/file.h"
#include "handgrad/platform/system.h"
#include "handgrad/platform/threads.h"
#include "handgrad/train/footprint.h"
#include "run/data_set.h"

namespace handgrad::app {

namespace {

const std::vector<std::string> dtype_names = {"float64", "float32"};
const std::map<Verdict, std::string> verdict_names = {
    {Verdict::passed, "ok"}, {Verdict::failed, "FAILED"}, {Verdict::undecided, "not decidable"}};

// The first batch of the first epoch, as training would take it.
void take_first_batch(GradcheckOptions& options, const Settings& settings) {
  const Dataset dataset = open_dataset(settings.data_request());
  const Splits splits = split(dataset, settings.split, at::kDouble);
  options.architecture = settings.architecture(dataset);
  validate(settings.training, options.architecture, settings.replicas, splits.train.count(),
           settings.network);
  Batches batches(splits.train, 1, options.batch_size, settings.training.data_seeds, true, false,
                  settings.training.augment.options());
  const Batch& first = batches.at(0);
  options.images = first.images;
  options.labels = first.targets.squeeze(1).argmax(1);
}

std::string scientific(const std::optional<double>& value) {
  return value ? fmt::format("{:.1e}", *value) : "-";
}

void print(const GradientReport& report) {
  fmt::print("{:<22}{:<19}{:<14}{:>9}{:>13}{:>14}  verdict\n", "pair", "tensor", "shape", "autograd",
             "differences", "1 - cosine");
  for (const GradientCheck& check : report.checks) {
    const std::optional<double> angle = check.cosine ? std::optional(1 - *check.cosine) : std::nullopt;
    fmt::print("{:<22}{:<19}{:<14}{:>9}{:>13}{:>14}  {}\n", check.pair, check.tensor,
               fmt::format("{}", fmt::join(check.shape, "×")), scientific(check.autograd_error),
               scientific(check.finite_difference_error), scientific(angle),
               verdict_names.at(check.verdict()));
  }
  fmt::print("finite differences: {}, {} skipped because an activation would have crossed its kink\n",
             counted(report.points(), "point"), report.skipped());
}

Json to_json(const GradientReport& report, const Options& options, at::Device device) {
  const auto number = [](const std::optional<double>& value) { return value ? Json(*value) : Json(); };
  Json checks = Json::array();
  for (const GradientCheck& check : report.checks) {
    checks.push_back({{"pair", check.pair},
                      {"tensor", check.tensor},
                      {"shape", check.shape},
                      {"autograd_error", number(check.autograd_error)},
                      {"autograd_tolerance", check.autograd_tolerance},
                      {"finite_difference_error", number(check.finite_difference_error)},
                      {"finite_difference_tolerance", check.finite_difference_tolerance},
                      {"cosine", number(check.cosine)},
                      {"verdict", verdict_names.at(check.verdict())},
                      {"passed", check.verdict() == Verdict::passed}});
  }
  return {{"version", version()},
          {"libtorch", libtorch_version()},
          {"dtype", options.text("dtype")},
          {"device", device.str()},
          {"points", report.points()},
          {"skipped", report.skipped()},
          {"passed", report.passed()},
          {"undecided", report.count(Verdict::undecided)},
          {"checks", checks}};
}

// The pairs and networks with a failed check, each once.
std::string failed_pairs(const GradientReport& report) {
  std::vector<std::string> names;
  for (const GradientCheck& check : report.checks) {
    if (check.verdict() == Verdict::failed && (names.empty() || names.back() != check.pair))
      names.push_back(check.pair);
  }
  return fmt::format("{}", fmt::join(names, "; "));
}

Options gradcheck_options() {
  Options options(
      "gradcheck",
      "checks every hand-written gradient of a network against autograd over an independent\n"
      "forward pass and against finite differences. Exit code 1 when one is wrong or none could be\n"
      "decided; where a gradient is too small beside its rounding, the table says \"not decidable\",\n"
      "which is no failure",
      "");
  add_flags(options, {Setting::Group::data, Setting::Group::network, Setting::Group::training});
  add_machine_flags(options);
  options.hide("no-cuda-graph").hide("tf32");  // it takes no steps, and TF32 is no gradient's precision
  options.value("dtype", dtype_names.front(), "NAME", "float64 or float32, of the gradients that are checked")
      .value("json", "", "FILE", "write the table as JSON too");
  add_force_flag(options);
  return options;
}

}  // namespace

int gradcheck_command(const Arguments& arguments) {
  Options options = gradcheck_options();
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (options.given("json")) require_replaceable(options.text("json"), "json", options);
  const bool real_data = options.given("data");
  const Settings settings = read_settings(options, real_data);
  GradcheckOptions checked;
  checked.replicas = settings.replicas;
  checked.batch_size = settings.training.batch_size;
  checked.l2 = settings.training.l2.front();
  checked.network = settings.network;
  checked.label_smoothing = settings.training.label_smoothing;
  checked.clip = settings.training.clip;
  checked.seed = settings.training.seeds.front();
  checked.dtype = options.choice("dtype", dtype_names) == 0 ? at::kDouble : at::kFloat;
  set_threads(read_threads(options).value_or(1));
  checked.device = read_device(options);
  checked.against_cpu = !checked.device.is_cpu();
  if (real_data) {
    take_first_batch(checked, settings);
  } else {
    checked.architecture = settings.shape;
    if (settings.classes > 0) checked.architecture.classes = settings.classes;
  }

  require_memory(checked, free_memory(at::kCPU));
  const GradientReport report = gradcheck(checked);
  fmt::print("{}, {}, {} ({}), {}\n\n", checked.architecture.description(),
             counted(checked.replicas, "network"), counted(checked.batch_size, "image"),
             real_data ? settings.data : "random", options.text("dtype"));
  print(report);
  if (!options.text("json").empty())
    write_file(options.text("json"), to_text(to_json(report, options, checked.device), 2) + "\n");
  if (report.count(Verdict::failed) > 0) {
    const char* reason = settings.network.batch_norm.backward
                             ? ""
                             : "; --compat bn-no-backward leaves batch norm out of the backward pass";
    throw Error(fmt::format("gradients are wrong: {}{}", failed_pairs(report), reason));
  }
  if (!report.passed()) throw Error("no gradient could be decided: all are too small beside their rounding");
  const std::int64_t undecided = report.count(Verdict::undecided);
  if (undecided == 0) {
    fmt::print("all {} checks passed\n", report.checks.size());
  } else {
    fmt::print("{} checks passed, {} not decidable: the gradient there is too small beside its rounding\n",
               report.count(Verdict::passed), undecided);
  }
  return 0;
}

}  // namespace handgrad::app
