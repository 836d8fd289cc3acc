// What a training run leaves on disk while it goes on: metrics and checkpoints.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "cli/options.h"
#include "cli/progress.h"
#include "handgrad/base/errors.h"
#include "handgrad/train/trainer.h"
#include "run/run_directory.h"

namespace handgrad::app {

// When a checkpoint is due. By default at the end of an epoch, but not sooner than these seconds after the
// last one.
class Schedule {
 public:
  static constexpr double least_seconds = 10;

  // --checkpoint-every: "auto", or a number of steps, seconds (30s) or epochs (1ep). Throws UsageError.
  explicit Schedule(const Options& options);

  // Asked after every step.
  bool due(std::int64_t step, bool epoch_ended);

  void done() { last_ = Clock::now(); }

 private:
  enum class Unit { automatic, steps, seconds, epochs };
  using Clock = std::chrono::steady_clock;

  double since_last() const { return std::chrono::duration<double>(Clock::now() - last_).count(); }

  Unit unit_ = Unit::automatic;
  std::int64_t count_ = 1;
  std::int64_t epochs_ = 0;
  Clock::time_point last_ = Clock::now();
};

// Says once that a log cannot be written, and once that it can again.
class LogFault {
 public:
  // "metrics.jsonl", "line": what messages call the file, and a part of it.
  LogFault(Progress& progress, std::string file, std::string part);

  void failed(const FileError& error);
  void written();

 private:
  Progress& progress_;
  std::string file_, part_;
  bool failing_ = false;
};

// Writes what training reports. What cannot be written is said on stderr, and training goes on.
class Recorder : public TrainingObserver {
 public:
  // context: what a checkpoint says besides the state.
  Recorder(RunDirectory& run, Progress& progress, std::int64_t networks, Schedule schedule,
           std::map<std::string, std::string> context);

  void on_train(const TrainRecord& record) override;
  void on_evaluation(const EvaluationRecord& record) override;
  Request requested(std::int64_t step, bool epoch_ended) override;
  void on_checkpoint(TrainingState state) override;
  // Throws Interrupted for a signal that is not the one that ended training.
  void on_measuring(std::int64_t images, std::int64_t total) override;

  // Whether the last state that was handed over is on disk.
  bool state_is_saved() const { return state_is_saved_; }

 private:
  void append(const Json& record);

  RunDirectory& run_;
  Progress& progress_;
  std::int64_t networks_;
  Schedule schedule_;
  std::map<std::string, std::string> context_;
  LogFault metrics_fault_;
  bool state_is_saved_ = false;
  bool stopped_training_ = false;
};

}  // namespace handgrad::app
