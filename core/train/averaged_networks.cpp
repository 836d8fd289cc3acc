// An exponential moving average of each network.
#include "handgrad/train/averaged_networks.h"

#include <cstddef>
#include <cstdint>

#include "handgrad/platform/threads.h"

namespace handgrad {

namespace {

void exchange_numbers(Tensor& a, Tensor& b) {
  const Tensor of_a = a.clone();
  a.copy_(b);
  b.copy_(of_a);
}

}  // namespace

AveragedNetworks::AveragedNetworks(const Network& network, double decay)
    : decay_(decay),
      parameters_(network.parameters.flat.clone()),
      running_(network.running.flat.clone()),
      ranges_(in_ranges(parameters_)),
      newest_(in_ranges(network.parameters.flat)),
      newest_running_(network.running.flat) {}

void AveragedNetworks::update() {
  const double share = has_begun_ ? 1 - decay_ : 1;
  has_begun_ = true;
  share_out_ranges_of(parameters_.numel(), static_cast<std::int64_t>(ranges_.size()), [&](std::int64_t i) {
    const auto range = static_cast<std::size_t>(i);
    ranges_[range].lerp_(newest_[range], share);
  });
  if (running_.numel() > 0) running_.lerp_(newest_running_, share);
}

void AveragedNetworks::exchange(Network& network) {
  exchange_numbers(parameters_, network.parameters.flat);
  exchange_numbers(running_, network.running.flat);
}

void AveragedNetworks::save(TrainingState& state) const {
  state.tensors["average.parameters"] = parameters_;
  state.tensors["average.running"] = running_;
  state.set("average.has_begun", has_begun_ ? 1 : 0);
}

void AveragedNetworks::restore(const TrainingState& state) {
  parameters_.copy_(state.tensor("average.parameters", parameters_));
  running_.copy_(state.tensor("average.running", running_));
  has_begun_ = state.number("average.has_begun") != 0;
}

}  // namespace handgrad
