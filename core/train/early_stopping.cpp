// Which networks a validation loss is an improvement for, and which it ends.
#include "handgrad/train/early_stopping.h"

#include <cmath>
#include <limits>
#include <utility>

namespace handgrad {

double score(TrainingOptions::Monitor monitor, double loss, double accuracy) {
  return monitor == TrainingOptions::Monitor::loss ? loss : 1 - accuracy;
}

EarlyStopping::EarlyStopping(const TrainingOptions& options, std::size_t replicas)
    : options_(options),
      best_(replicas, std::numeric_limits<double>::infinity()),
      previous_loss_(best_),
      evaluations_since_best_(replicas) {}

EarlyStopping::Verdict EarlyStopping::judge(std::size_t replica, double loss, double accuracy) {
  if (options_.stopping == TrainingOptions::Stopping::no_change) {
    const double previous = std::exchange(previous_loss_[replica], loss);
    return std::abs(previous - loss) < options_.min_delta ? Verdict::stopped_here : Verdict::not_improved;
  }
  const double now = score(options_.monitor, loss, accuracy);
  if (best_[replica] - now > options_.min_delta) {
    best_[replica] = now;
    evaluations_since_best_[replica] = 0;
    return Verdict::improved;
  }
  ++evaluations_since_best_[replica];
  const bool patient = !options_.patience || evaluations_since_best_[replica] < *options_.patience;
  return patient ? Verdict::not_improved : Verdict::stopped;
}

void EarlyStopping::save(TrainingState& state) const {
  state.set_each("replica.best_loss", best_);
  state.set_each("replica.previous_loss", previous_loss_);
  state.set_each("replica.evaluations_since_best", evaluations_since_best_);
}

void EarlyStopping::restore(const TrainingState& state) {
  const std::size_t replicas = best_.size();
  best_ = state.each<double>("replica.best_loss", replicas);
  previous_loss_ = state.each<double>("replica.previous_loss", replicas);
  evaluations_since_best_ = state.each<std::int64_t>("replica.evaluations_since_best", replicas);
}

}  // namespace handgrad
