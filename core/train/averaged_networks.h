// An exponential moving average of each network's parameters and running statistics in the course of training
// (Polyak and Juditsky, 1992; torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn and use_buffers).
#pragma once

#include <vector>

#include "handgrad/nn/network.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

class AveragedNetworks {
 public:
  // decay: what is left of the average when a step's parameters come in. The network must outlive it.
  AveragedNetworks(const Network& network, double decay);

  // After each step: θ̄ ← decay θ̄ + (1 − decay) θ, of the first one θ̄ ← θ.
  void update();

  // Gives the network the average, and takes what it had, until they are exchanged again.
  void exchange(Network& network);

  void save(TrainingState& state) const;
  // Throws ModelError for a state of another network, or of a training without an average.
  void restore(const TrainingState& state);

 private:
  double decay_;
  bool has_begun_ = false;
  Tensor parameters_, running_;
  std::vector<Tensor> ranges_, newest_;  // in_ranges, of the averaged parameters and of those of the network
  Tensor newest_running_;
};

}  // namespace handgrad
