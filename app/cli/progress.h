// Training as it goes, on stderr: a bar on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "handgrad/train/training_observer.h"

namespace handgrad::app {

class Progress : public TrainingObserver {
 public:
  Progress();
  ~Progress() override;

  void on_step(std::int64_t step, std::int64_t total_steps) override;
  void on_evaluation(const EvaluationRecord& record) override;
  // Work that comes after training, such as "measuring 3000 networks": `done` of `total` parts of it.
  void after_training(const std::string& work, std::int64_t done, std::int64_t total);
  // Lines of their own.
  void say(const std::string& text);
  void warn(const std::string& text);
  // What stands beside the bar from now on.
  void note(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;

  void draw();

  bool is_terminal_;
  Clock::time_point begin_, next_update_;
  std::int64_t first_step_ = -1;
  std::int64_t step_ = 0;
  std::int64_t total_ = 0;
  std::string note_;
};

}  // namespace handgrad::app
