// Threads that share out a computation.
#include "handgrad/platform/threads.h"

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

// The calling thread's number of threads, set back at the end.
class Threads {
 public:
  explicit Threads(int count) { set_threads(count); }
  ~Threads() { set_threads(1); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

}  // namespace

TEST_CASE("each part runs once, in every run", "[threads]") {
  const Threads guard(GENERATE(1, 2, 5));
  for (const std::int64_t count : {0, 1, 2, 7, 100}) {
    std::vector<int> runs(static_cast<std::size_t>(count), 0);
    for (int repeat = 0; repeat < 300; ++repeat) {
      share_out(count, [&](std::int64_t part) { ++runs[static_cast<std::size_t>(part)]; });
    }
    CHECK(runs == std::vector<int>(static_cast<std::size_t>(count), 300));
  }
}

TEST_CASE("other threads take parts too", "[threads]") {
  const Threads guard(2);
  std::set<std::thread::id> ids;
  std::mutex mutex;
  std::atomic<int> begun{0};
  share_out(2, [&](std::int64_t) {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      ids.insert(std::this_thread::get_id());
    }
    ++begun;
    while (begun < 2) std::this_thread::yield();  // each part needs the other one to have begun
  });
  CHECK(ids.size() == 2);
}

TEST_CASE("parts that nobody else has begun are done by the caller", "[threads]") {
  const Threads guard(2);
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> all_others_done{false};
  std::atomic<int> done{0};
  // The helper, once it has taken a part, stays in it until all others are done.
  share_out(50, [&](std::int64_t) {
    if (std::this_thread::get_id() == caller) {
      if (++done >= 49) all_others_done = true;
    } else {
      while (!all_others_done) std::this_thread::yield();
    }
  });
  CHECK(done >= 49);
}

TEST_CASE("the failure of a part reaches the caller, and the others are done", "[threads]") {
  const Threads guard(GENERATE(2, 4));
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::atomic<int> done{0};
    CHECK_THROWS_WITH(share_out(9,
                                [&](std::int64_t part) {
                                  if (part == 4) throw std::runtime_error("the fourth");
                                  ++done;
                                }),
                      Contains("the fourth"));
    CHECK(done == 8);
  }
  int after = 0;
  share_out(1, [&](std::int64_t) { ++after; });
  CHECK(after == 1);
}

TEST_CASE("a thread has its own number of threads", "[threads]") {
  const Threads guard(3);
  int elsewhere = 0;
  std::thread([&] { elsewhere = threads(); }).join();
  CHECK(elsewhere == 1);
  CHECK(threads() == 3);
  CHECK(threads_for_numbers(10) == 1);
  CHECK(threads_for_numbers(std::int64_t{1} << 40) == 3);
}
