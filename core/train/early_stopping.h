// Which networks a validation loss is an improvement for, and which it ends.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/train/training_options.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

// What of a loss and an accuracy is to be as low as possible.
double score(TrainingOptions::Monitor monitor, double loss, double accuracy);

class EarlyStopping {
 public:
  // The options must outlive it.
  EarlyStopping(const TrainingOptions& options, std::size_t replicas);

  enum class Verdict { improved, not_improved, stopped, stopped_here };

  // What a network's loss and accuracy at this evaluation mean for it. stopped: training ends, and another
  // evaluation was better, unless it is stopped_here.
  Verdict judge(std::size_t replica, double loss, double accuracy);

  void save(TrainingState& state) const;
  // Throws ModelError for a state of another network.
  void restore(const TrainingState& state);

 private:
  const TrainingOptions& options_;
  std::vector<double> best_;           // with Stopping::patience: the lowest loss, or share of errors
  std::vector<double> previous_loss_;  // with Stopping::no_change
  std::vector<std::int64_t> evaluations_since_best_;
};

}  // namespace handgrad
