// What a training run leaves on disk while it goes on.
#include "run/recorder.h"

#include <fmt/format.h>

#include <utility>

#include "cli/interruption.h"
#include "handgrad/base/numbers.h"

namespace handgrad::app {

Schedule::Schedule(const Options& options) {
  const std::string& text = options.text("checkpoint-every");
  if (text == "auto") return;
  if (text.back() == 's') {
    unit_ = Unit::seconds;
    count_ = parse_integer(text.substr(0, text.size() - 1)).value_or(0);
    if (count_ >= 1 && count_ <= largest_count) return;
  } else if (const auto interval = parse_interval(text)) {
    unit_ = interval->unit == Interval::Unit::epochs ? Unit::epochs : Unit::steps;
    count_ = interval->count;
    return;
  }
  throw options.wrong(
      "checkpoint-every",
      "auto, or a number of steps such as 500, of seconds such as 30s or of epochs such as 1ep");
}

bool Schedule::due(std::int64_t step, bool epoch_ended) {
  epochs_ += epoch_ended ? 1 : 0;
  switch (unit_) {
    case Unit::steps:
      return step % count_ == 0;
    case Unit::epochs:
      return epoch_ended && epochs_ % count_ == 0;
    case Unit::seconds:
      return since_last() >= static_cast<double>(count_);
    case Unit::automatic:
      return epoch_ended && since_last() >= least_seconds;
  }
  return false;
}

LogFault::LogFault(Progress& progress, std::string file, std::string part)
    : progress_(progress), file_(std::move(file)), part_(std::move(part)) {}

void LogFault::failed(const FileError& error) {
  if (!failing_) progress_.warn(error.what());
  failing_ = true;
}

void LogFault::written() {
  if (failing_) progress_.warn(fmt::format("{} can be written again; no {} is lost", file_, part_));
  failing_ = false;
}

Recorder::Recorder(RunDirectory& run, Progress& progress, std::int64_t networks, Schedule schedule,
                   std::map<std::string, std::string> context)
    : run_(run),
      progress_(progress),
      networks_(networks),
      schedule_(schedule),
      context_(std::move(context)),
      metrics_fault_(progress, "metrics.jsonl", "line") {}

void Recorder::on_train(const TrainRecord& record) {
  append({{"kind", "train"},
          {"step", record.step},
          {"epoch", record.epoch},
          {"loss", record.loss},
          {"l2_penalty", record.l2_penalty},
          {"learning_rate", record.learning_rate}});
}

void Recorder::on_evaluation(const EvaluationRecord& record) {
  Json line = {{"kind", "evaluation"}, {"step", record.step}, {"epoch", record.epoch}};
  const auto add = [&](const std::string& what, const std::vector<LossAndAccuracy>& networks) {
    for (const LossAndAccuracy& of_network : networks) {
      line[what + "_loss"].push_back(of_network.loss);
      line[what + "_accuracy"].push_back(of_network.accuracy);
    }
  };
  add("validation", record.validation);
  add("average", record.average);
  append(line);
}

Request Recorder::requested(std::int64_t step, bool epoch_ended) {
  stopped_training_ = interruption() != 0;
  if (stopped_training_) return Request::stop;
  return schedule_.due(step, epoch_ended) ? Request::checkpoint : Request::none;
}

void Recorder::on_checkpoint(TrainingState state) {
  state.text.insert(context_.begin(), context_.end());
  try {
    run_.write_checkpoint(std::move(state));
    state_is_saved_ = true;
  } catch (const FileError& error) {
    state_is_saved_ = false;
    progress_.warn(fmt::format("no checkpoint: {}", error.what()));
  }
  schedule_.done();
}

void Recorder::on_measuring(std::int64_t images, std::int64_t total) {
  const std::string work =
      networks_ == 1 ? "measuring the network" : fmt::format("measuring {} networks", networks_);
  if (interruptions() > (stopped_training_ ? 1 : 0)) throw Interrupted();
  if (stopped_training_ && images == 0) {
    progress_.say(fmt::format("stopping: {}, whose training {} saved; another signal skips that", work,
                              state_is_saved_ ? "is" : "could not be"));
  }
  progress_.after_training(work, images, total);
}

void Recorder::append(const Json& record) {
  try {
    run_.append_metrics(record);
    metrics_fault_.written();
  } catch (const FileError& error) {
    metrics_fault_.failed(error);
  }
}

}  // namespace handgrad::app
