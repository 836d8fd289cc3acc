// Signals.
#include "cli/interruption.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace handgrad::app {

namespace {

constexpr int most_signals = 2;

std::atomic<int> caught_signal{0};
std::atomic<int> signals{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch lock-free atomics only");

extern "C" void on_signal(int signal) {
  int none = 0;
  caught_signal.compare_exchange_strong(none, signal);
  if (++signals > most_signals) _exit(128 + signal);
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

int interruptions() {
  return signals.load(std::memory_order_relaxed);
}

int interruption_exit_code() {
  const int signal = interruption();
  return signal == 0 ? 0 : 128 + signal;
}

}  // namespace handgrad::app
