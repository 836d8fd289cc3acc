// How the learning rate changes in the course of training.
#include "handgrad/train/rate_schedule.h"

#include <cmath>

namespace handgrad {

namespace {

double default_final_rate(RateScheduleOptions::Kind kind) {
  return kind == RateScheduleOptions::Kind::step ? 0.01 : 0;
}

}  // namespace

const std::vector<std::string>& rate_schedule_names() {
  static const std::vector<std::string> names = {"constant", "cosine", "step"};
  return names;
}

RateSchedule::RateSchedule(const RateScheduleOptions& options, std::int64_t steps_per_epoch,
                           std::int64_t total)
    : kind_(options.kind),
      final_rate_(options.final_rate.value_or(default_final_rate(options.kind))),
      steps_per_epoch_(steps_per_epoch),
      warmup_steps_(options.warmup ? options.warmup->steps(steps_per_epoch) : 0),
      total_(total) {}

double RateSchedule::progress(std::int64_t step) const {
  if (step < warmup_steps_) return 0;
  return static_cast<double>(step - warmup_steps_) / static_cast<double>(total_ - warmup_steps_);
}

double RateSchedule::factor(std::int64_t step) const {
  if (step < warmup_steps_) return static_cast<double>(step + 1) / static_cast<double>(warmup_steps_);
  return factor_at(progress(step), final_rate_);
}

double RateSchedule::fall(std::int64_t epoch) const {
  const double share = progress(epoch * steps_per_epoch_);
  if (kind_ == RateScheduleOptions::Kind::step) return share < 0.5 ? 1 : share < 0.75 ? 0.5 : 0;
  return factor_at(share, 0);
}

double RateSchedule::factor_at(double progress, double final_rate) const {
  switch (kind_) {
    case RateScheduleOptions::Kind::constant:
      return 1;
    case RateScheduleOptions::Kind::cosine: {
      constexpr double pi = 3.14159265358979323846;
      return final_rate + (1 - final_rate) * (1 + std::cos(pi * progress)) / 2;
    }
    case RateScheduleOptions::Kind::step:
      return progress < 0.5 ? 1 : progress < 0.75 ? std::sqrt(final_rate) : final_rate;
  }
  return 1;
}

bool RateSchedule::is_constant() const {
  return kind_ == RateScheduleOptions::Kind::constant && warmup_steps_ == 0;
}

}  // namespace handgrad
