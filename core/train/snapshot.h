// What a step changes, kept from a moment when all of it was finite, so that steps can be taken again.
#pragma once

#include <cstdint>

#include "handgrad/nn/network.h"
#include "handgrad/train/optimizer.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

class Snapshot {
 public:
  // Of networks before their first step.
  Snapshot(const Network& network, const Optimizer& optimizer);

  void take(const Network& network, const Optimizer& optimizer, std::int64_t step);
  void put_back(Network& network, Optimizer& optimizer) const;

  std::int64_t step() const { return step_; }

  void save(TrainingState& state) const;
  // Throws ModelError for a state of another network, or of steps that no training has.
  void restore(const TrainingState& state);

 private:
  Tensor parameters_, running_;
  OptimizerState optimizer_;
  std::int64_t step_ = 0;
};

}  // namespace handgrad
