// What became of each network.
#include "handgrad/train/outcomes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace handgrad {

namespace {

constexpr std::int64_t still_trains = -1;  // in a checkpoint, which has numbers for the reasons

}  // namespace

const char* to_string(StopReason reason) {
  switch (reason) {
    case StopReason::max_epochs:
      return "max_epochs";
    case StopReason::early_stopping:
      return "early_stopping";
    case StopReason::non_finite:
      return "non_finite";
    case StopReason::interrupted:
      return "interrupted";
  }
  return "";
}

Outcomes::Outcomes(std::size_t replicas)
    : stopped_(replicas),
      fault_(replicas),
      steps_(replicas),
      train_cost_(replicas, std::numeric_limits<double>::quiet_NaN()) {}

bool Outcomes::any_trains() const {
  return std::any_of(stopped_.begin(), stopped_.end(), [](const auto& reason) { return !reason; });
}

bool Outcomes::any_stopped_by(StopReason reason) const {
  return std::find(stopped_.begin(), stopped_.end(), reason) != stopped_.end();
}

void Outcomes::count_steps(std::int64_t steps) {
  for (std::size_t r = 0; r < replicas(); ++r) {
    if (trains(r)) steps_[r] = steps;
  }
}

void Outcomes::record_cost(const std::vector<double>& loss, const std::vector<double>& penalty) {
  for (std::size_t r = 0; r < replicas(); ++r) {
    if (trains(r)) train_cost_[r] = loss[r] + penalty[r];
  }
}

std::vector<std::size_t> Outcomes::non_finite(const std::vector<double>& loss) const {
  std::vector<std::size_t> failed;
  for (std::size_t r = 0; r < replicas(); ++r) {
    if (trains(r) && !std::isfinite(loss[r])) failed.push_back(r);
  }
  return failed;
}

void Outcomes::fail(std::size_t replica, const std::string& fault) {
  stopped_[replica] = StopReason::non_finite;
  fault_[replica] = fault;
}

void Outcomes::save(TrainingState& state) const {
  std::vector<std::int64_t> reasons;
  for (std::size_t r = 0; r < replicas(); ++r) {
    reasons.push_back(trains(r) ? still_trains : static_cast<std::int64_t>(*stopped_[r]));
    if (!fault_[r].empty()) state.text[fmt::format("fault.{}", r)] = fault_[r];
  }
  state.set_each("replica.stopped", reasons);
  state.set_each("replica.steps", steps_);
  state.set_each("replica.train_cost", train_cost_);
}

void Outcomes::restore(const TrainingState& state) {
  steps_ = state.steps("replica.steps", replicas());
  train_cost_ = state.each<double>("replica.train_cost", replicas());
  const std::vector<std::int64_t> reasons = state.each<std::int64_t>("replica.stopped", replicas());
  for (std::size_t r = 0; r < replicas(); ++r) {
    if (reasons[r] < still_trains || reasons[r] > static_cast<std::int64_t>(StopReason::non_finite)) {
      TrainingState::refuse();
    }
    if (reasons[r] != still_trains) stopped_[r] = static_cast<StopReason>(reasons[r]);
    const auto fault = state.text.find(fmt::format("fault.{}", r));
    if (fault != state.text.end()) fault_[r] = fault->second;
  }
}

}  // namespace handgrad
