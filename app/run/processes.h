// One command in several processes, started by torchrun, mpirun or srun.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cli/options.h"
#include "handgrad/platform/process_group.h"
#include "handgrad/train/training_observer.h"

namespace handgrad::app {

// Runs `work` with the group of those that were started together, or null where this process is alone. Where
// one of them fails, all do: one speaks for all, and the others return 1 without a word. remedy: where one has
// ended or hangs, such as "start all again". Throws LaunchError.
int together(const std::string& remedy, const std::function<int(ProcessGroup* processes)>& work);

inline bool is_first(const ProcessGroup* processes) {
  return rank_of(processes) == 0;
}

// "rank 1", "ranks 1, 3"
std::string ranks_in_words(const std::vector<int>& ranks);

// What this process may use of its machine, where others of the group use it too.
int own_cores(const ProcessGroup* processes);
std::int64_t own_free_memory(at::Device device, const ProcessGroup* processes);  // bytes

// --device, of which each of several processes takes the GPU of its own where it is one: by its number among
// those of its machine, or the only one that it sees. Throws what read_device throws, UsageError where one of several
// GPUs is named, LaunchError where some compute on a GPU and others do not.
at::Device read_own_device(const Options& options, ProcessGroup* processes);

// The ranks whose text is not that of rank 0.
std::vector<int> others_than_first(ProcessGroup& processes, const std::string& text);

// Throws LaunchError, which names the ranks, where one of these texts, each with its name, is not that of
// rank 0.
void require_same(ProcessGroup& processes, const std::vector<std::pair<std::string, std::string>>& texts);

// The observer of rank 0 decides for all when training stops and when it is saved.
class SharedObserver : public TrainingObserver {
 public:
  // Both must outlive it.
  SharedObserver(ProcessGroup& processes, TrainingObserver& observer)
      : processes_(processes), observer_(observer) {}

  void on_step(std::int64_t step, std::int64_t total_steps) override { observer_.on_step(step, total_steps); }
  void on_train(const TrainRecord& record) override { observer_.on_train(record); }
  void on_evaluation(const EvaluationRecord& record) override { observer_.on_evaluation(record); }
  bool wants_gradients() override { return observer_.wants_gradients(); }
  void on_gradients(std::int64_t step, const Parameters& gradients) override {
    observer_.on_gradients(step, gradients);
  }
  Request requested(std::int64_t step, bool epoch_ended) override {
    const Request own = observer_.requested(step, epoch_ended);
    return static_cast<Request>(processes_.from_first(static_cast<std::int64_t>(own)));
  }
  void on_checkpoint(TrainingState state) override { observer_.on_checkpoint(std::move(state)); }
  void on_measuring(std::int64_t images, std::int64_t total) override {
    observer_.on_measuring(images, total);
  }

 private:
  ProcessGroup& processes_;
  TrainingObserver& observer_;
};

}  // namespace handgrad::app
