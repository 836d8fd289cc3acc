// The parameters that each network was best with so far.
#include "handgrad/train/best_networks.h"

namespace handgrad {

BestNetworks::BestNetworks(const Network& network, bool averages)
    : parameters_(network.architecture(), network.replicas(), network.options()),
      running_(network.architecture(), network.replicas(), network.options()),
      averages_(averages),
      step_(static_cast<std::size_t>(network.replicas())),
      has_(step_.size()),
      averaged_(step_.size()) {}

void BestNetworks::keep(const Network& network, const std::vector<std::int64_t>& replicas, std::int64_t step,
                        bool averaged) {
  for (const std::int64_t replica : replicas) {
    step_[static_cast<std::size_t>(replica)] = step;
    has_[static_cast<std::size_t>(replica)] = 1;
    averaged_[static_cast<std::size_t>(replica)] = averaged ? 1 : 0;
  }
  copy_networks(parameters_, running_, network.parameters, network.running, replicas);
}

void BestNetworks::load(Network& network) const {
  std::vector<std::int64_t> replicas;
  for (std::size_t replica = 0; replica < has_.size(); ++replica) {
    if (has(replica)) replicas.push_back(static_cast<std::int64_t>(replica));
  }
  copy_networks(network.parameters, network.running, parameters_, running_, replicas);
}

void BestNetworks::save(TrainingState& state) const {
  state.tensors["best_parameters"] = parameters_.flat;
  state.tensors["best_running"] = running_.flat;
  state.set_each("replica.best_step", step_);
  state.set_each("replica.has_best", has_);
  if (averages_) state.set_each("replica.best_is_average", averaged_);
}

void BestNetworks::restore(const TrainingState& state) {
  parameters_.flat.copy_(state.tensor("best_parameters", parameters_.flat));
  running_.flat.copy_(state.tensor("best_running", running_.flat));
  step_ = state.steps("replica.best_step", step_.size());
  has_ = state.each<std::int64_t>("replica.has_best", has_.size());
  if (averages_) averaged_ = state.each<std::int64_t>("replica.best_is_average", averaged_.size());
}

}  // namespace handgrad
