// Where the numbers of a network first became NaN or infinite.
#include "handgrad/train/fault_finder.h"

#include <fmt/format.h>

namespace handgrad {

std::map<std::size_t, std::string> find_faults(Network& network, Stepper& stepper, const Snapshot& snapshot,
                                               std::int64_t step, const std::vector<std::size_t>& failed) {
  std::map<std::size_t, std::string> faults;
  std::int64_t taken = snapshot.step();
  const auto look = [&](const auto& fault_of) {
    for (const std::size_t replica : failed) {
      if (faults.count(replica) > 0) continue;
      const std::string where = fault_of(static_cast<std::int64_t>(replica));
      if (!where.empty()) faults[replica] = fmt::format("step {}: {} is no longer finite", taken + 1, where);
    }
  };
  snapshot.put_back(network, stepper.optimizer());
  for (; taken < step; ++taken) {
    const Workspace& workspace = stepper.differentiate(taken);
    look([&](std::int64_t replica) { return network.fault_in_pass(workspace, replica); });
    stepper.update();
    look([&](std::int64_t replica) { return network.fault_in_parameters(replica); });
  }
  for (const std::size_t replica : failed) {
    // Finite logits can be so far apart that their cross entropy is not.
    faults.try_emplace(replica, fmt::format("step {}: the loss is no longer finite", step));
  }
  return faults;
}

}  // namespace handgrad
