// Jobs on threads.
#include "handgrad/platform/workers.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>

#include "handgrad/platform/threads.h"

namespace handgrad {

void run_jobs(const std::vector<std::function<void()>>& jobs, int workers) {
  std::vector<std::exception_ptr> failures(jobs.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    set_threads(1);  // a setting of each thread
    for (std::size_t job = next++; job < jobs.size(); job = next++) {
      try {
        jobs[job]();
      } catch (...) {
        failures[job] = std::current_exception();
      }
    }
  };

  std::vector<std::thread> threads;
  const std::size_t count = std::min(jobs.size(), static_cast<std::size_t>(std::max(workers, 1)));
  try {
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back(work);
  } catch (const std::system_error&) {
    if (threads.empty()) throw;  // else those that began do all the jobs
  }
  for (std::thread& thread : threads) thread.join();

  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace handgrad
