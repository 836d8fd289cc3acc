// The threads that share out one computation.
#include "handgrad/platform/threads.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "handgrad/platform/blas.h"
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

// Parts that nobody has taken, in one number, so that one operation takes one. A thread that is late with that may get a part
// of the next computation: what part to run it reads afterwards.
class alignas(64) PartsLeft {
 public:
  void set(std::int64_t begin, std::int64_t end) {
    assert(end >> half == 0);
    both_.store(static_cast<std::uint64_t>(begin) << half | static_cast<std::uint64_t>(end));
  }

  std::optional<std::int64_t> take_first() {
    return take([](std::uint64_t begin, std::uint64_t end) { return Taken{begin, begin + 1, end}; });
  }

  std::optional<std::int64_t> take_last() {
    return take([](std::uint64_t begin, std::uint64_t end) { return Taken{end - 1, begin, end - 1}; });
  }

 private:
  static constexpr int half = 32;  // bits

  struct Taken {
    std::uint64_t part, begin, end;
  };

  template <typename Take>
  std::optional<std::int64_t> take(const Take& take) {
    std::uint64_t both = both_.load();
    while (true) {
      const std::uint64_t begin = both >> half;
      const std::uint64_t end = both & ((std::uint64_t{1} << half) - 1);
      if (begin == end) return std::nullopt;
      const Taken taken = take(begin, end);
      if (both_.compare_exchange_weak(both, taken.begin << half | taken.end)) {
        return static_cast<std::int64_t>(taken.part);
      }
    }
  }

  std::atomic<std::uint64_t> both_{0};
};

// The caller, member 0, and its helpers. They meet by what is atomic, and lock only to sleep and to wake: a thread that
// waits for a lock is put to sleep at once, and waking it takes longer than a small part.
class Team {
 public:
  explicit Team(int helpers) : left_(static_cast<std::size_t>(helpers) + 1) {
    try {
      for (std::size_t member = 1; member < left_.size(); ++member) {
        helpers_.emplace_back([this, member] { help(member); });
      }
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
    part_ = &part;
    unfinished_ = count;
    const auto members = static_cast<std::int64_t>(left_.size());
    // Rounded up, so that the caller, which is awake, has a part.
    const auto first_of = [&](std::int64_t i) { return (i * count + members - 1) / members; };
    for (std::int64_t i = 0; i < members; ++i) {
      left_[static_cast<std::size_t>(i)].set(first_of(i), first_of(i + 1));
    }
    ++runs_;
    if (sleeping_ > 0) wake(work_came_);
    take_parts(0);
    spin_until([&] { return unfinished_ == 0; });
    if (unfinished_ > 0) {
      std::unique_lock<std::mutex> lock(mutex_);
      caller_sleeps_ = true;
      work_done_.wait(lock, [&] { return unfinished_ == 0; });
      caller_sleeps_ = false;
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  // Whoever goes to sleep says so, with the lock held, before it looks whether it has to.
  void wake(std::condition_variable& sleepers) {
    { const std::lock_guard<std::mutex> lock(mutex_); }
    sleepers.notify_all();
  }

  // Of the member's own parts while there are, else the last of another's.
  std::optional<std::int64_t> next_part(std::size_t member) {
    if (const std::optional<std::int64_t> own = left_[member].take_first()) return own;
    for (PartsLeft& of_other : left_) {
      if (const std::optional<std::int64_t> last = of_other.take_last()) return last;
    }
    return std::nullopt;
  }

  void take_parts(std::size_t member) {
    while (const std::optional<std::int64_t> mine = next_part(member)) {
      const int own_threads = std::exchange(threads_of_this_thread, 1);  // a part shares out nothing
      try {
        (*part_)(*mine);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
      threads_of_this_thread = own_threads;
      if (--unfinished_ == 0 && caller_sleeps_) wake(work_done_);
    }
  }

  void help(std::size_t member) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    set_threads(1);
    std::int64_t seen = 0;
    while (true) {
      spin_until([&] { return runs_ != seen; });
      if (runs_ == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        ++sleeping_;
        work_came_.wait(lock, [&] { return runs_ != seen || stopping_; });
        --sleeping_;
        if (stopping_) return;
      }
      seen = runs_;
      take_parts(member);
    }
  }

  const std::function<void(std::int64_t)>* part_ = nullptr;
  std::vector<PartsLeft> left_;  // of each member
  alignas(64) std::atomic<std::int64_t> unfinished_{0};
  alignas(64) std::atomic<std::int64_t> runs_{0};
  std::mutex mutex_;
  std::condition_variable work_came_, work_done_;
  std::atomic<int> sleeping_{0};
  std::atomic<bool> caller_sleeps_{false};
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> helpers_;
};

thread_local std::unique_ptr<Team> team;

}  // namespace

void set_threads(int threads) {
  at::get_num_threads();  // LibTorch sets a thread's number up at its first use, over what was set before
  at::set_num_threads(1);
  use_one_thread(RTLD_DEFAULT);
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
  constexpr std::int64_t least_per_thread = 1 << 15;  // about 5 µs
  return static_cast<int>(std::clamp<std::int64_t>(numbers / least_per_thread, 1, threads_of_this_thread));
}

void share_out_among_threads(std::int64_t count, const std::function<void(std::int64_t)>& part) {
  if (!team) team = std::make_unique<Team>(threads_of_this_thread - 1);
  team->run(count, part);
}

}  // namespace handgrad
