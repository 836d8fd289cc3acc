// Training as it goes, on stderr.
#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

namespace handgrad::app {

namespace {

// What cannot be shown is not worth ending a training for.
template <typename... Values>
void print(fmt::format_string<Values...> format, Values&&... values) {
  std::fputs(fmt::format(format, std::forward<Values>(values)...).c_str(), stderr);
}

constexpr std::chrono::milliseconds terminal_interval(100);
constexpr std::chrono::seconds plain_interval(2);

std::string duration(double seconds) {
  const auto whole = std::llround(seconds);
  return whole < 3600 ? fmt::format("{}:{:02}", whole / 60, whole % 60)
                      : fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

Progress::Progress()
    : is_terminal_(isatty(STDERR_FILENO) == 1),
      begin_(Clock::now()),
      next_update_(begin_ +
                   (is_terminal_ ? Clock::duration(terminal_interval) : Clock::duration(plain_interval))) {}

Progress::~Progress() {
  if (is_terminal_ && step_ > 0) print("\r\033[K");
}

void Progress::say(const std::string& text) {
  print("{}{}\n", is_terminal_ ? "\r\033[K" : "", text);
}

void Progress::warn(const std::string& text) {
  say("warning: " + text);
}

void Progress::after_training(const std::string& work, std::int64_t done, std::int64_t total) {
  const Clock::time_point now = Clock::now();
  if (now < next_update_) return;
  const std::string text = fmt::format("{}: {} %", work, 100 * done / total);
  if (is_terminal_) {
    print("\r\033[K{}", text);
  } else {
    say(text);
  }
  next_update_ = now + (is_terminal_ ? Clock::duration(terminal_interval) : Clock::duration(plain_interval));
  std::fflush(stderr);
}

void Progress::on_step(std::int64_t step, std::int64_t total_steps) {
  if (first_step_ < 0) first_step_ = step - 1;  // of training that goes on
  step_ = step;
  total_ = total_steps;
  if (Clock::now() >= next_update_) draw();
}

void Progress::on_evaluation(const EvaluationRecord& record) {
  const LossAndAccuracy& first = record.validation.front();
  note(fmt::format("epoch {}  validation loss {:.4f}  accuracy {:.2f} %{}", record.epoch, first.loss,
                   100 * first.accuracy, record.validation.size() > 1 ? "  (first network)" : ""));
}

void Progress::note(const std::string& text) {
  note_ = text;
  if (step_ == total_) draw();
}

void Progress::draw() {
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const double rate = seconds > 0 ? static_cast<double>(step_ - first_step_) / seconds : 0;
  const std::string eta = rate > 0 ? duration(static_cast<double>(total_ - step_) / rate) : "?";
  if (is_terminal_) {
    constexpr std::int64_t width = 24;
    const std::int64_t filled = total_ > 0 ? width * step_ / total_ : 0;
    print("\r\033[K[{:=<{}}{:{}}] {:3} %  {:.0f} steps/s  {} left  {}", "", filled, "", width - filled,
          total_ > 0 ? 100 * step_ / total_ : 0, rate, eta, note_);
    next_update_ = now + terminal_interval;
  } else {
    print("step {} of {}  {:.0f} steps/s  {} left  {}\n", step_, total_, rate, eta, note_);
    next_update_ = now + plain_interval;
  }
  std::fflush(stderr);
}

}  // namespace handgrad::app
