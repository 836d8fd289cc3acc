// What validation chose in a run.
#include "run/choice.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "cli/settings.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

void require_no_contradiction(const Options& options, const fs::path& run) {
  for (const auto& [flag, why] : {std::pair<const char*, const char*>{"resume", "begins another run"},
                                  {"config", "has the settings of its run"},
                                  {"init", "begins as its run did"},
                                  {"validation-fraction", "leaves no images to validate on"},
                                  {"patience", "has no validation that could end it"}}) {
    if (!options.given(flag)) continue;
    throw UsageError(fmt::format("--{}: --train-on-all {}; leave one of the two out", flag, why));
  }
  std::error_code missing;
  if (fs::equivalent(options.text("out"), run, missing)) {
    throw FileError("--out: is the run that --train-on-all names; choose another directory");
  }
}

[[noreturn]] void refuse(const fs::path& run, const std::string& why) {
  throw ModelError(fmt::format("--train-on-all: {} {}", run.string(), why));
}

// A run that was given more epochs has the summary of its former end until it gets to the new one.
bool is_finished(const Json& summary, const Settings& settings) {
  const Json& stopped = summary.at("stopped");
  return stopped == "max_epochs" ? summary.at("epochs") == settings.training.epochs
                                 : stopped != "interrupted";
}

// The run's only network, as its summary has it.
Json chosen_network(const fs::path& run, const Settings& settings) {
  std::error_code unreadable;
  const fs::path file = run / "summary.json";
  const Json summary = fs::exists(file, unreadable) ? read_json(file) : Json();
  if (summary.is_null() || !is_finished(summary, settings)) {
    refuse(run, fmt::format("is not finished; go on with it: handgrad train --resume {}", run.string()));
  }
  if (settings.split.twice) {
    refuse(run,
           "splits off images twice, so that nothing trains on all; name a run without --compat split-twice");
  }
  const Json& networks = summary.at("replicas");
  if (networks.size() != 1) {
    refuse(run,
           fmt::format("has {} networks, for each of which validation chose by itself; name a run of one, "
                       "trained with --replicas 1 and the --seed of your choice",
                       networks.size()));
  }
  const Json& network = networks.at(0);
  if (network.at("validation").is_null()) {
    refuse(run, "had no validation set that could choose; name a run with a --validation-fraction above 0");
  }
  if (network.contains("fault")) refuse(run, "left the finite numbers; name a run that did not");
  if (network.at("best_step") == 0) refuse(run, "did not train, it has 0 epochs; name a run that did");
  return network;
}

// How many epochs the run took to the step that validation found best.
std::int64_t epochs_to(const Json& best_step, const fs::path& run) {
  const fs::path file = run / "metrics.jsonl";
  for (const Json& record : read_json_lines(file)) {
    if (record.at("step") == best_step) return record.at("epoch");
  }
  throw ModelError(fmt::format("{}: has no step {}, the best by summary.json; train the run again",
                               file.string(), to_text(best_step, -1)));
}

Choice choice_of(const fs::path& run) {
  const fs::path file = run / "config.json";
  std::error_code unreadable;
  if (!fs::exists(file, unreadable)) {
    refuse(run, "holds no run, it has no config.json; name the directory of a run");
  }
  Choice choice{fs::absolute(file).lexically_normal().parent_path().string(), read_json(file), ""};
  const Settings settings = settings_of_run(choice.config, file.string());
  const TrainingOptions& training = settings.training;
  const Json network = chosen_network(run, settings);
  choice.config["validation_fraction"] = 0;
  choice.config["patience"] = "none";
  if (training.schedule.has_end()) {  // what validation found good is the schedule as a whole
    choice.words = fmt::format("the whole schedule of {}", counted(training.epochs, "epoch"));
  } else {
    const std::int64_t epochs = epochs_to(network.at("best_step"), run);
    choice.config["epochs"] = epochs;
    choice.words = counted(epochs, "epoch");
  }
  if (training.ema > 0) {
    const bool kept = network.at("averaged");
    if (!kept) choice.config["ema"] = 0;
    choice.words += kept ? ", the moving average" : ", no moving average";
  }
  if (training.reestimate_batch_norm) {
    const bool kept = network.at("reestimated");
    choice.config["reestimate_batch_norm"] = kept;
    choice.words += kept ? ", batch norm re-estimated" : ", batch norm not re-estimated";
  }
  return choice;
}

}  // namespace

std::optional<Choice> read_choice(const Options& options) {
  if (!options.given("train-on-all")) return std::nullopt;
  const fs::path run = options.text("train-on-all");
  require_no_contradiction(options, run);
  try {
    return choice_of(run);
  } catch (const Json::exception& error) {
    refuse(run,
           fmt::format("has a file that is not what this version writes ({}); train it again", error.what()));
  }
}

}  // namespace handgrad::app
