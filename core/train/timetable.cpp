// After which steps of a training something is due.
#include "handgrad/train/timetable.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"

namespace handgrad {

Timetable::Timetable(const TrainingOptions& options, std::int64_t steps_per_epoch)
    : steps_per_epoch_(steps_per_epoch),
      total_(options.epochs * steps_per_epoch),
      fixed_distance_(options.stopping == TrainingOptions::Stopping::no_change) {
  evaluation_steps_ = fixed_distance_ ? steps_per_record : options.evaluate_every.steps(steps_per_epoch);
  for (const std::int64_t epochs : options.report_epochs) {
    const std::int64_t step = epochs * steps_per_epoch;
    if (step % evaluation_steps_ != 0 && !fixed_distance_) {
      throw ArgumentError(
          fmt::format("report epochs: no evaluation is due after epoch {}; evaluate at least then", epochs));
    }
    report_steps_.insert(step);
  }
}

}  // namespace handgrad
