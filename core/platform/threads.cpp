// The threads that share out one computation.
#include "handgrad/platform/threads.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "handgrad/platform/resources.h"

namespace handgrad {

namespace {

// Between two products of a step there is less than this to do. A thread that waits longer sleeps, and takes
// no time from others.
constexpr std::chrono::microseconds longest_spin(100);

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Looks for a moment whether `happened`, without sleeping.
template <typename Happened>
void spin_until(const Happened& happened) {
  const auto end = std::chrono::steady_clock::now() + longest_spin;
  while (!happened() && std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 16 && !happened(); ++i) relax();
  }
}

thread_local int threads_of_this_thread = 1;

class Team {
 public:
  explicit Team(int helpers) {
    try {
      for (int i = 0; i < helpers; ++i) helpers_.emplace_back([this] { help(); });
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): fewer threads do the same work
    }
  }

  ~Team() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    work_came_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }

  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  void run(std::int64_t count, const std::function<void(std::int64_t)>& part) {
    std::unique_lock<std::mutex> lock(mutex_);
    part_ = &part;
    next_ = 0;
    count_ = count;
    unfinished_ = count;
    ++runs_;
    if (sleeping_ > 0) work_came_.notify_all();
    take_parts(lock);
    lock.unlock();
    spin_until([&] { return unfinished_ == 0; });
    lock.lock();
    work_done_.wait(lock, [&] { return unfinished_ == 0; });
    part_ = nullptr;
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  // With the lock held, before and after.
  void take_parts(std::unique_lock<std::mutex>& lock) {
    while (next_ < count_) {
      const std::int64_t mine = next_++;
      lock.unlock();
      std::exception_ptr failure;
      const int own_threads = std::exchange(threads_of_this_thread, 1);  // a part shares out nothing
      try {
        (*part_)(mine);
      } catch (...) {
        failure = std::current_exception();
      }
      threads_of_this_thread = own_threads;
      lock.lock();
      if (failure && !failure_) failure_ = failure;
      if (--unfinished_ == 0) work_done_.notify_one();
    }
  }

  void help() {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    set_threads(1);
    std::int64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stopping_) {
      if (runs_ == seen) {
        lock.unlock();
        spin_until([&] { return runs_ != seen; });
        lock.lock();
        ++sleeping_;
        work_came_.wait(lock, [&] { return runs_ != seen || stopping_; });
        --sleeping_;
      }
      seen = runs_;
      take_parts(lock);
    }
  }

  std::mutex mutex_;
  std::condition_variable work_came_, work_done_;
  const std::function<void(std::int64_t)>* part_ = nullptr;
  std::int64_t next_ = 0, count_ = 0;
  std::atomic<std::int64_t> unfinished_{0};
  std::atomic<std::int64_t> runs_{0};
  int sleeping_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> helpers_;
};

thread_local std::unique_ptr<Team> team;

}  // namespace

void set_threads(int threads) {
  at::get_num_threads();  // LibTorch sets a thread's number up at its first use, over what was set before
  at::set_num_threads(1);
  // A BLAS with threads of its own would oversubscribe ours.
  if (void* symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads")) {
    reinterpret_cast<void (*)(int)>(symbol)(1);
  }
  if (void* symbol = dlsym(RTLD_DEFAULT, "bli_thread_set_num_threads")) {
    reinterpret_cast<void (*)(std::int64_t)>(symbol)(1);
  }
  if (threads != threads_of_this_thread) team.reset();
  threads_of_this_thread = threads;
}

int threads() {
  return threads_of_this_thread;
}

int useful_threads(double product_flops) {
  const double most = available_cores();
  return static_cast<int>(std::clamp(product_flops / flops_per_thread, 1.0, most));
}

int threads_for_numbers(std::int64_t numbers) {
  constexpr std::int64_t least_per_thread = 1 << 16;  // about 10 µs
  return static_cast<int>(std::clamp<std::int64_t>(numbers / least_per_thread, 1, threads_of_this_thread));
}

void share_out_among_threads(std::int64_t count, const std::function<void(std::int64_t)>& part) {
  if (!team) team = std::make_unique<Team>(threads_of_this_thread - 1);
  team->run(count, part);
}

}  // namespace handgrad
