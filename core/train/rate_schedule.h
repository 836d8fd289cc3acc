// How the learning rate changes in the course of training: a function of the step alone, so that a training
// that goes on from a checkpoint, and every network of an ensemble, has the rates of one that ran through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "handgrad/train/interval.h"

namespace handgrad {

struct RateScheduleOptions {
  enum class Kind { constant, cosine, step };

  Kind kind = Kind::constant;
  // Until it ends, the rate rises in equal steps to the learning rate; none: it begins there.
  std::optional<Interval> warmup;
  // The share of the learning rate that is left at the end; none: 0 with cosine, 0.01 with step.
  std::optional<double> final_rate;

  // Whether it leads to an end, so that a longer training has other rates from the beginning.
  bool has_end() const { return kind != Kind::constant; }
};

// "constant", …: the names of the kinds, in their order.
const std::vector<std::string>& rate_schedule_names();

class RateSchedule {
 public:
  // total: steps of the whole training.
  RateSchedule(const RateScheduleOptions& options, std::int64_t steps_per_epoch, std::int64_t total);

  // What the learning rates are multiplied with in a step, from 0. With W steps of warm-up:
  //   (step + 1) / W                              before step W (Goyal et al., 2017, section 2.2)
  //   1                                           constant
  //   f + (1 − f) (1 + cos πp) / 2                cosine (Loshchilov and Hutter, 2017, equation 5, one period;
  //                                               torch.optim.lr_scheduler.CosineAnnealingLR)
  //   1 to p = 1/2, √f to p = 3/4, then f         step (with f = 0.01 as He et al., 2016, section 4.2)
  // where p = (step − W) / (total − W) and f is the final rate.
  double factor(std::int64_t step) const;

  // How much of its way down the rate has before it when an epoch, from 0, begins: 1 at first, 0 at the end.
  double fall(std::int64_t epoch) const;

  // Whether the factor is always 1.
  bool is_constant() const;

  std::int64_t warmup_steps() const { return warmup_steps_; }

 private:
  // The share of the training after the warm-up that lies before a step; 0 in the warm-up.
  double progress(std::int64_t step) const;
  double factor_at(double progress, double final_rate) const;

  RateScheduleOptions::Kind kind_;
  double final_rate_;
  std::int64_t steps_per_epoch_, warmup_steps_, total_;
};

}  // namespace handgrad
