// What a step changes, kept.
#include "handgrad/train/snapshot.h"

namespace handgrad {

Snapshot::Snapshot(const Network& network, const Optimizer& optimizer)
    : parameters_(network.parameters.flat.clone()),
      running_(network.running.flat.clone()),
      optimizer_(optimizer.state().clone()) {}

void Snapshot::take(const Network& network, const Optimizer& optimizer, std::int64_t step) {
  parameters_.copy_(network.parameters.flat);
  running_.copy_(network.running.flat);
  optimizer_.copy_from(optimizer.state());
  step_ = step;
}

void Snapshot::put_back(Network& network, Optimizer& optimizer) const {
  network.parameters.flat.copy_(parameters_);
  network.running.flat.copy_(running_);
  optimizer.set_state(optimizer_);
}

void Snapshot::save(TrainingState& state) const {
  state.tensors["checked.parameters"] = parameters_;
  state.tensors["checked.running"] = running_;
  optimizer_.save(state, "checked.");
  state.set("checked.step", step_);
}

void Snapshot::restore(const TrainingState& state) {
  parameters_.copy_(state.tensor("checked.parameters", parameters_));
  running_.copy_(state.tensor("checked.running", running_));
  optimizer_.restore(state, "checked.");
  step_ = state.step("checked.step", state.number("step"));
}

}  // namespace handgrad
