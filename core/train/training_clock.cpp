// How long a training takes.
#include "handgrad/train/training_clock.h"

namespace handgrad {

double TrainingClock::microseconds_per_step(std::int64_t steps) {
  if (steps == 0) return 0;
  return std::chrono::duration<double, std::micro>(time_of_steps()).count() / static_cast<double>(steps);
}

void TrainingClock::save(TrainingState& state) {
  state.set("nanoseconds", time().count());
  state.set("training_nanoseconds", time_of_steps().count());
}

void TrainingClock::restore(const TrainingState& state) {
  earlier_ = std::chrono::nanoseconds(state.number("nanoseconds"));
  earlier_of_steps_ = std::chrono::nanoseconds(state.number("training_nanoseconds"));
}

}  // namespace handgrad
