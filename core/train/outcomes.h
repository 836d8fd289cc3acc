// What became of each network: whether it still trains, or after how many steps it stopped, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/train/training_state.h"

namespace handgrad {

enum class StopReason { max_epochs, early_stopping, non_finite, interrupted };

// "max_epochs", "early_stopping", "non_finite", "interrupted".
const char* to_string(StopReason reason);

class Outcomes {
 public:
  explicit Outcomes(std::size_t replicas);

  std::size_t replicas() const { return steps_.size(); }
  bool trains(std::size_t replica) const { return !stopped_[replica]; }
  bool any_trains() const;
  bool any_stopped_by(StopReason reason) const;
  StopReason stopped(std::size_t replica, StopReason otherwise) const {
    return stopped_[replica].value_or(otherwise);
  }
  // Where the numbers ceased to be finite; "" where they did not.
  const std::string& fault(std::size_t replica) const { return fault_[replica]; }
  std::int64_t steps(std::size_t replica) const { return steps_[replica]; }
  // The last recorded training loss and penalty; NaN before the first.
  double train_cost(std::size_t replica) const { return train_cost_[replica]; }

  // Of those that train.
  void count_steps(std::int64_t steps);
  void record_cost(const std::vector<double>& loss, const std::vector<double>& penalty);
  // Those that train and whose loss is NaN or infinite.
  std::vector<std::size_t> non_finite(const std::vector<double>& loss) const;

  void stop(std::size_t replica) { stopped_[replica] = StopReason::early_stopping; }
  void fail(std::size_t replica, const std::string& fault);

  void save(TrainingState& state) const;
  // Throws ModelError for a state of another network, or of steps that no training has.
  void restore(const TrainingState& state);

 private:
  std::vector<std::optional<StopReason>> stopped_;
  std::vector<std::string> fault_;
  std::vector<std::int64_t> steps_;
  std::vector<double> train_cost_;
};

}  // namespace handgrad
