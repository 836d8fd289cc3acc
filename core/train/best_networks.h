// The parameters that each network was best with so far.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/nn/network.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

class BestNetworks {
 public:
  // averages: whether there is a moving average too, that may be the best.
  BestNetworks(const Network& network, bool averages);

  // These networks are best as they are now, after `step`; averaged: the network holds their average.
  void keep(const Network& network, const std::vector<std::int64_t>& replicas, std::int64_t step,
            bool averaged = false);
  // Leaves each network that has a best with that.
  void load(Network& network) const;

  bool has(std::size_t replica) const { return has_[replica] != 0; }
  // 0 where there is none.
  std::int64_t step(std::size_t replica) const { return step_[replica]; }
  bool is_average(std::size_t replica) const { return averaged_[replica] != 0; }

  void save(TrainingState& state) const;
  // Throws ModelError for a state of another network, or of steps that no training has.
  void restore(const TrainingState& state);

 private:
  Parameters parameters_;
  RunningStatistics running_;
  bool averages_;
  std::vector<std::int64_t> step_, has_, averaged_;  // has_, averaged_: 0 or 1
};

}  // namespace handgrad
