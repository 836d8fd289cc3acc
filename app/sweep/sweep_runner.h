// The trainings of a sweep: ensembles with one or several seeds each, and what is stored of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "cli/json.h"
#include "cli/progress.h"
#include "handgrad/data/dataset.h"
#include "handgrad/platform/process_group.h"
#include "handgrad/train/footprint.h"
#include "handgrad/train/sweep.h"
#include "sweep/job_result.h"
#include "sweep/sweep_file.h"

namespace handgrad::app {

// An ensemble with one or several seeds.
struct Job {
  std::size_t ensemble = 0;
  std::vector<std::uint64_t> seeds;
  std::int64_t steps = 0;         // at most
  std::uint64_t with_models = 0;  // the seed whose networks are kept
};

class SweepRunner {
 public:
  // All must outlive it. seeds_together: how many seeds train side by side; none: as many as do not take more
  // time. processes: which share this machine with this one, or null. Throws what validate throws, DeviceError
  // where memory is too short.
  SweepRunner(const SweepFile& file, const Dataset& dataset, at::Device device, std::size_t seeds,
              std::optional<std::int64_t> seeds_together, const ProcessGroup* processes);

  const std::vector<Ensemble>& ensembles() const { return ensembles_; }
  std::int64_t widest() const { return widest_; }
  // Of each ensemble.
  const std::vector<std::int64_t>& seeds_together() const { return seeds_together_; }
  std::int64_t steps(std::size_t ensemble) const {
    return ensembles_[ensemble].settings.training.epochs * steps_per_epoch_[ensemble];
  }

  // How many trainings run at a time in this process. Throws DeviceError where memory is too short for those
  // asked for.
  int workers(std::optional<int> asked, const ProcessGroup* processes) const;

  // Seeds that train side by side always do, so that a sweep that goes on comes to the same bits.
  std::vector<Job> jobs(const std::vector<std::uint64_t>& seeds) const;

  // Microseconds of a step of all networks that train side by side for an ensemble, measured.
  double microseconds_per_step(std::size_t ensemble) const;

  // Networks are kept where their configuration is an experiment. Throws Interrupted.
  JobResult train(const Job& job, TrainingObserver& observer) const;

  // Throws LaunchError where another process sent what cannot be the result of this job.
  void require_result_of(const Job& job, const JobResult& result) const;

 private:
  TrainingShape shape_of_seed(const Ensemble& ensemble) const;
  std::int64_t seeds_that_fit(const TrainingShape& of_seed, std::int64_t free) const;
  Json row_of(const Run& run, const EnsembleRun& ensemble) const;

  const SweepFile& file_;
  const Dataset& dataset_;
  at::Device device_;
  std::vector<Ensemble> ensembles_;
  std::vector<std::int64_t> steps_per_epoch_, seeds_together_;
  std::int64_t widest_ = 0;
  std::optional<TrainingShape> largest_;  // the training that takes the most memory
};

// What all jobs together have done; each reports from its own thread.
class TotalProgress {
 public:
  TotalProgress(std::size_t jobs, std::int64_t steps) : jobs_(jobs), steps_(steps) {}

  void add(std::int64_t steps);
  void end_job();
  void say(const std::string& text);

 private:
  std::mutex mutex_;
  Progress progress_;
  std::size_t jobs_, jobs_done_ = 0;
  std::int64_t steps_, done_ = 0;
};

// Says how far one job is, and ends it for a signal, or once all are stopped.
class JobObserver : public TrainingObserver {
 public:
  // progress: null where nobody looks.
  JobObserver(TotalProgress* progress, std::int64_t steps, const std::atomic<bool>& stopped)
      : progress_(progress), steps_(steps), stopped_(stopped) {}

  void on_step(std::int64_t step, std::int64_t total_steps) override;
  Request requested(std::int64_t step, bool epoch_ended) override;
  // The result of a training that was cut short is not kept; another one's is, if there is time.
  void on_measuring(std::int64_t images, std::int64_t total) override;

  // Steps that early stopping saved count as done.
  void end();

 private:
  TotalProgress* progress_;
  std::int64_t steps_, reported_ = 0;
  const std::atomic<bool>& stopped_;
  bool cut_short_ = false;
};

}  // namespace handgrad::app
