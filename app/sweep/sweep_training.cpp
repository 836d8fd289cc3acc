// The jobs of a sweep, handed out.
#include "sweep/sweep_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "cli/interruption.h"
#include "handgrad/base/counted.h"
#include "handgrad/platform/workers.h"
#include "sweep/job_result.h"

namespace handgrad::app {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds between_looks(100);
// A rank that is not heard of for so long counts as lost. If it is not, its job is trained twice, to the same
// bits.
constexpr std::chrono::seconds longest_silence(15);

using NextJob = std::function<std::optional<std::size_t>()>;
using JobEnded = std::function<void(std::size_t job, const JobResult& result)>;

// Jobs that one process does alone, in their order.
NextJob each_of(std::vector<std::size_t> jobs) {
  const auto next = std::make_shared<std::atomic<std::size_t>>(0);
  return [jobs = std::move(jobs), next]() -> std::optional<std::size_t> {
    const std::size_t place = (*next)++;
    return place < jobs.size() ? std::optional(jobs[place]) : std::nullopt;
  };
}

// Does as many jobs as `next` says, until one fails. progress: null where nobody looks.
void work(const SweepRunner& runner, const std::vector<Job>& jobs, int workers, const NextJob& next,
          const JobEnded& ended, TotalProgress* progress, std::atomic<bool>& stopped) {
  const auto train_next = [&] {
    if (interruption() != 0 || stopped) return;
    try {
      const std::optional<std::size_t> job = next();
      if (!job) return;
      JobObserver observer(progress, jobs[*job].steps, stopped);
      ended(*job, runner.train(jobs[*job], observer));
      observer.end();
    } catch (const Interrupted&) {
      return;
    } catch (...) {
      stopped = true;
      throw;
    }
  };
  run_jobs(std::vector<std::function<void()>>(jobs.size(), train_next), workers);
}

// Stores results, each once, with the time that has gone by.
class Results {
 public:
  Results(const std::vector<Job>& jobs, SweepDirectory& directory)
      : jobs_(jobs), directory_(directory), stored_(jobs.size()) {}

  void store(std::size_t job, const JobResult& result) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stored_[job]) return;
    directory_.write(jobs_[job].ensemble, jobs_[job].seeds, result);
    stored_[job] = true;
    count_time();
  }

  // Of the first `count` jobs.
  std::vector<std::size_t> missing(std::size_t count) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::size_t> missing;
    for (std::size_t job = 0; job < count; ++job) {
      if (!stored_[job]) missing.push_back(job);
    }
    return missing;
  }

  // In seconds, all of it counted in the directory.
  double duration() {
    const std::lock_guard<std::mutex> lock(mutex_);
    count_time();
    return std::chrono::duration<double>(counted_until_ - begin_).count();
  }

 private:
  void count_time() {
    const auto now = Clock::now();
    directory_.add_seconds(std::chrono::duration<double>(now - counted_until_).count());
    counted_until_ = now;
  }

  const std::vector<Job>& jobs_;
  SweepDirectory& directory_;
  std::mutex mutex_;
  std::vector<bool> stored_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point counted_until_ = begin_;
};

// Does something again and again on a thread of its own, until it fails, which stops the trainings too.
class Watch {
 public:
  Watch(std::function<void()> look, std::atomic<bool>& stopped)
      : look_(std::move(look)), stopped_(stopped), thread_([this] { run(); }) {}
  ~Watch() { end(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Rethrows what it failed with.
  void finish() {
    end();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!ending_) {
      lock.unlock();
      try {
        look_();
      } catch (...) {
        failure_ = std::current_exception();
        stopped_ = true;
        return;
      }
      lock.lock();
      ended_.wait_for(lock, between_looks, [this] { return ending_; });
    }
  }

  void end() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
    }
    ended_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

  std::function<void()> look_;
  std::atomic<bool>& stopped_;
  std::exception_ptr failure_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ending_ = false;
  std::thread thread_;
};

// What the ranks say to each other, through the store: each goes at its own pace, and one that dies takes along
// nothing but what it trains.
class Ranks {
 public:
  Ranks(ProcessGroup& processes, std::size_t jobs) : processes_(processes), jobs_(jobs) {}

  // The next job that nobody has.
  std::optional<std::size_t> next() {
    const auto job = static_cast<std::size_t>(processes_.add(handed_out, 1) - 1);
    return job < jobs_ ? std::optional(job) : std::nullopt;
  }
  std::size_t count_handed_out() {
    return std::min(static_cast<std::size_t>(processes_.add(handed_out, 0)), jobs_);
  }

  // From any rank to rank 0.
  void send(std::size_t job, const JobResult& result) { processes_.put(result_of(job), serialize(result)); }
  std::optional<JobResult> receive(std::size_t job) {
    const std::optional<std::string> bytes = processes_.take(result_of(job));
    return bytes ? std::optional(parse_job_result(*bytes)) : std::nullopt;
  }

  // Each of the others lives until it leaves.
  void live() { processes_.add(lives_of(processes_.rank()), 1); }
  void leave() { processes_.add(left_by(processes_.rank()), 1); }
  // Of rank 0: whether none of the others is at work any more.
  bool is_alone() {
    const auto now = Clock::now();
    bool alone = true;
    heard_.resize(static_cast<std::size_t>(processes_.size()), {0, now});
    for (int rank = 1; rank < processes_.size(); ++rank) {
      auto& [lives, when] = heard_[static_cast<std::size_t>(rank)];
      const std::int64_t lives_now = processes_.add(lives_of(rank), 0);
      if (lives_now != lives) when = now;
      lives = lives_now;
      alone = alone && (processes_.add(left_by(rank), 0) > 0 || now - when > longest_silence);
    }
    return alone;
  }

  // Rank 0 ends all, with an exit code, which is 0 as long as it has not.
  void end(int exit_code) { processes_.add(ending, 1 + exit_code); }
  bool is_ending() { return processes_.add(ending, 0) > 0; }
  int exit_code() { return static_cast<int>(std::max<std::int64_t>(processes_.add(ending, 0) - 1, 0)); }

  void require_no_failure() {
    if (processes_.has_failed()) throw LostProcess("another process has failed");
  }

 private:
  static constexpr const char* handed_out = "handed-out";
  static constexpr const char* ending = "ending";
  static std::string result_of(std::size_t job) { return fmt::format("result/{}", job); }
  static std::string lives_of(int rank) { return fmt::format("lives/{}", rank); }
  static std::string left_by(int rank) { return fmt::format("left/{}", rank); }

  ProcessGroup& processes_;
  std::size_t jobs_;
  std::vector<std::pair<std::int64_t, Clock::time_point>> heard_;  // of each rank
};

// As rank 0: trains until no job is left to hand out, waits for what the others have, and does what they leave
// undone.
void train_with_others(const SweepRunner& runner, const std::vector<Job>& jobs, int workers, Results& results,
                       TotalProgress& progress, ProcessGroup& processes) {
  Ranks ranks(processes, jobs.size());
  std::atomic<bool> stopped{false};
  const auto store = [&](std::size_t job, const JobResult& result) { results.store(job, result); };
  std::size_t received = 0;
  const auto collect = [&] {
    for (const std::size_t job : results.missing(ranks.count_handed_out())) {
      const std::optional<JobResult> result = ranks.receive(job);
      if (!result) continue;
      runner.require_result_of(jobs[job], *result);
      store(job, *result);
      ++received;
      progress.add(jobs[job].steps);
      progress.end_job();
    }
  };
  const auto look = [&] {
    collect();
    ranks.require_no_failure();
  };
  {
    Watch watch(look, stopped);
    work(
        runner, jobs, workers, [&] { return ranks.next(); }, store, &progress, stopped);
    watch.finish();
  }
  for (bool alone = false; !alone && interruption() == 0;) {
    alone = ranks.is_alone();  // asked first: who has left has sent all before
    look();
    if (results.missing(jobs.size()).empty()) break;
    std::this_thread::sleep_for(between_looks);
  }
  work(runner, jobs, workers, each_of(results.missing(jobs.size())), store, &progress, stopped);
  ranks.end(interruption_exit_code());
  // The store is there for as long as any of them may say something; a second signal leaves at once.
  while (!ranks.is_alone() && interruptions() < 2) std::this_thread::sleep_for(between_looks);
  collect();
  progress.say(fmt::format("{} of {} done by other processes", received, counted(jobs.size(), "training")));
}

}  // namespace

double train_jobs(const SweepRunner& runner, const std::vector<Job>& jobs, int workers,
                  SweepDirectory& directory, ProcessGroup* processes) {
  Results results(jobs, directory);
  std::int64_t steps = 0;
  for (const Job& job : jobs) steps += job.steps;
  TotalProgress progress(jobs.size(), steps);
  if (processes != nullptr) {
    train_with_others(runner, jobs, workers, results, progress, *processes);
  } else {
    std::atomic<bool> stopped{false};
    work(
        runner, jobs, workers, each_of(results.missing(jobs.size())),
        [&](std::size_t job, const JobResult& result) { results.store(job, result); }, &progress, stopped);
  }
  return results.duration();
}

int train_jobs_for_first(const SweepRunner& runner, const std::vector<Job>& jobs, int workers,
                         ProcessGroup& processes) {
  Ranks ranks(processes, jobs.size());
  std::atomic<bool> stopped{false};
  Watch watch(
      [&] {
        ranks.require_no_failure();
        ranks.live();
        if (ranks.is_ending()) stopped = true;
      },
      stopped);
  work(
      runner, jobs, workers, [&] { return ranks.next(); },
      [&](std::size_t job, const JobResult& result) { ranks.send(job, result); }, nullptr, stopped);
  watch.finish();
  const int code = std::max(interruption_exit_code(), ranks.exit_code());
  ranks.leave();
  return code;
}

}  // namespace handgrad::app
