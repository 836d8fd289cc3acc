// The end of a training, for people.
#include "commands/train_result.h"

#include <fmt/format.h>

#include <vector>

#include "handgrad/base/counted.h"
#include "handgrad/base/statistics.h"

namespace handgrad::app {

namespace {

std::string row(const char* name, const LossAndAccuracy& metrics) {
  return fmt::format("  {:<12}{:>9.4f}{:>11.2f} %\n", name, metrics.loss, 100 * metrics.accuracy);
}

std::string replica_table(const std::vector<ReplicaResult>& replicas) {
  std::string text = "  seed          validation      test        best step\n";
  std::vector<double> accuracies;
  for (const ReplicaResult& replica : replicas) {
    const double test = 100 * replica.test.accuracy;
    accuracies.push_back(test);
    text += fmt::format("  {:<12}{:>10} %{:>9.2f} %{:>14}{}\n", replica.seed,
                        replica.validation ? fmt::format("{:.2f}", 100 * replica.validation->accuracy) : "-",
                        test, replica.best_step, replica.fault.empty() ? "" : "  " + replica.fault);
  }
  const Estimate test = estimate(accuracies);
  return text + fmt::format("  test accuracy: mean {:.2f} %, standard deviation {:.2f} over {} networks\n",
                            test.mean, test.standard_deviation, replicas.size());
}

}  // namespace

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
    fmt::print("  L2 penalty {:.4f}, best step {}{}{}\n", replica.l2_penalty, replica.best_step,
               replica.averaged ? ", the moving average" : "",
               replica.reestimated ? ", batch norm re-estimated" : "");
  }
  fmt::print("saved: {}\n", run.model_path(0).string());
}

}  // namespace handgrad::app
