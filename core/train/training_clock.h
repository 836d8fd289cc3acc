// How long a training takes, over all processes that went on with it.
#pragma once

#include <chrono>
#include <cstdint>

#include "handgrad/platform/cuda.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

// Starts when it is made.
class TrainingClock {
 public:
  explicit TrainingClock(at::Device device) : steps_(device) {}

  // Around steps: what lies between stop and start is evaluation.
  void start() { steps_.start(); }
  void stop() { steps_.stop(); }

  double seconds() const { return std::chrono::duration<double>(time()).count(); }
  // Of so many steps, all that were ever taken; 0 where there was none.
  double microseconds_per_step(std::int64_t steps);

  void save(TrainingState& state);
  void restore(const TrainingState& state);

 private:
  using Clock = std::chrono::steady_clock;

  std::chrono::nanoseconds time() const { return earlier_ + (Clock::now() - begin_); }
  std::chrono::nanoseconds time_of_steps() { return earlier_of_steps_ + steps_.total(); }

  Clock::time_point begin_ = Clock::now();
  LaunchTimer steps_;
  std::chrono::nanoseconds earlier_{}, earlier_of_steps_{};
};

}  // namespace handgrad
