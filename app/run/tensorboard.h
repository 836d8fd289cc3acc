// What a training run writes for TensorBoard: an event file in its directory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/json.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "handgrad/files/event_file.h"
#include "handgrad/nn/network.h"
#include "handgrad/train/outcomes.h"
#include "handgrad/train/training_observer.h"
#include "run/recorder.h"
#include "run/run_directory.h"

namespace handgrad::app {

// The word of --log.
constexpr const char* tensorboard_log = "tensorboard";

// Whether --log, a list, names it. Throws UsageError for a word that it does not know.
bool asks_for_tensorboard(const Options& options);

// Each record of the training as scalars, and at each evaluation histograms of all parameters and of their
// gradients (TrainingObserver::on_gradients). Of several networks each has tags of its own, which end with
// "/network-0", …. What cannot be written is said on stderr, and training goes on.
//
// Training that goes on from a checkpoint writes the bytes that it would have written without a stop, apart
// from times: wall_time is the clock's, as are the times of the session's start and end.
class TensorBoardLog : public TrainingObserver {
 public:
  // run: with its event file open; where that is empty it is begun, with the settings that `config`, a run's
  // config.json, has as hyperparameters, and with the PNG file `augmented`, unless that is empty. `network`
  // is the one that is trained. Run, progress and network must outlive the log.
  TensorBoardLog(RunDirectory& run, Progress& progress, const Network& network, const Json& config,
                 std::string_view augmented);

  void on_train(const TrainRecord& record) override;
  void on_evaluation(const EvaluationRecord& record) override;
  bool wants_gradients() override { return true; }
  void on_gradients(std::int64_t step, const Parameters& gradients) override;

  // That training has ended, and how. One that was interrupted has not: it may go on.
  void on_end(std::int64_t step, StopReason stopped);

  // A picture, as the bytes of a PNG file. Throws ArgumentError where they are none.
  void write_image(std::int64_t step, const std::string& tag, std::string_view png);

 private:
  std::string tag(const std::string& name, std::size_t replica) const;
  void add_histograms(SummaryEvent& event, const std::string& group, const Parameters& parameters,
                      std::size_t replica) const;
  void write(std::string_view records);

  RunDirectory& run_;
  const Network& network_;
  LogFault fault_;
};

}  // namespace handgrad::app
