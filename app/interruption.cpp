// Signals.
#include "interruption.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace handgrad::app {

namespace {

std::atomic<int> caught_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch lock-free atomics only");

extern "C" void on_signal(int signal) {
  int none = 0;
  if (!caught_signal.compare_exchange_strong(none, signal)) _exit(128 + signal);
}

}  // namespace

void catch_interruptions() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGHUP, on_signal);
}

int interruption() {
  return caught_signal.load(std::memory_order_relaxed);
}

}  // namespace handgrad::app
