// Faults of the described notebook that can be switched on, each alone or all, to measure what they cost.
#pragma once

#include <array>

namespace handgrad {

struct Compat {
  bool bn_no_backward = false;
  bool bn_batch_stats = false;
  bool split_twice = false;
  bool fan_out_init = false;
  bool no_shuffle = false;
  bool delta_stop = false;
  bool set_size_penalty = false;
  bool prob_loss = false;
};

struct CompatSwitch {
  const char* name;
  bool Compat::*member;
  bool needs_batch_norm;  // without it the switch changes nothing
  const char* fault;      // what the notebook does
};

constexpr std::array<CompatSwitch, 8> compat_switches = {{
    {"bn-no-backward", &Compat::bn_no_backward, true,
     "batch norm is left out of the backward pass; γ and β stay 1 and 0"},
    {"bn-batch-stats", &Compat::bn_batch_stats, true,
     "evaluation normalises with the evaluated set's own statistics, and ε is 1e-8"},
    {"split-twice", &Compat::split_twice, false,
     "a fifth of the training images is split off once more; it, not the validation set, decides when to "
     "stop"},
    {"fan-out-init", &Compat::fan_out_init, false,
     "initial weights have the variance 2 / fan_out instead of 2 / fan_in"},
    {"no-shuffle", &Compat::no_shuffle, false, "the batches of all epochs are those of the first"},
    {"delta-stop", &Compat::delta_stop, false,
     "training ends when two validation costs, 100 steps apart, differ by less than min_delta either way; "
     "the "
     "last parameters are kept"},
    {"set-size-penalty", &Compat::set_size_penalty, false,
     "validation costs contain the L2 penalty, divided by the size of the set instead of the batch"},
    {"prob-loss", &Compat::prob_loss, false,
     "the loss is the logarithm of probabilities clamped to [1e-15, 1 - 1e-15]"},
}};

}  // namespace handgrad
