// After which steps of a training something is due.
#pragma once

#include <cstdint>
#include <set>

#include "handgrad/train/training_options.h"

namespace handgrad {

// Every so many steps the training loss is recorded, and looked at: a loss that is NaN or infinite ends
// training.
constexpr std::int64_t steps_per_record = 100;

class Timetable {
 public:
  // Throws ArgumentError where results are to be reported after an epoch without an evaluation.
  Timetable(const TrainingOptions& options, std::int64_t steps_per_epoch);

  // Steps count from 1; all is asked of the step that was taken last.
  std::int64_t total() const { return total_; }
  bool report_due(std::int64_t step) const { return report_steps_.count(step) > 0; }
  bool record_due(std::int64_t step) const {
    return step % steps_per_record == 0 || step == total_ || report_due(step);
  }
  bool evaluation_due(std::int64_t step) const {
    return step % evaluation_steps_ == 0 || (step == total_ && !fixed_distance_);
  }
  bool epoch_ended(std::int64_t step) const { return step % steps_per_epoch_ == 0; }
  // The epoch that the step belongs to, from 1; 0 before the first step.
  std::int64_t epoch(std::int64_t step) const { return (step + steps_per_epoch_ - 1) / steps_per_epoch_; }

 private:
  std::int64_t steps_per_epoch_, total_, evaluation_steps_;
  bool fixed_distance_;  // Stopping::no_change compares losses that are a fixed number of steps apart
  std::set<std::int64_t> report_steps_;
};

}  // namespace handgrad
