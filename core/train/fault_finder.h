// Where the numbers of a network first became NaN or infinite.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "handgrad/train/snapshot.h"
#include "handgrad/train/stepper.h"

namespace handgrad {

// Takes the steps from the snapshot up to `step` again, which gives the same bits, and looks where the
// trouble of each failed network began: its number → "step 3: the output of layer 2 (20 → 7) is no longer
// finite". The network is then as it was after `step`.
std::map<std::size_t, std::string> find_faults(Network& network, Stepper& stepper, const Snapshot& snapshot,
                                               std::int64_t step, const std::vector<std::size_t>& failed);

}  // namespace handgrad
