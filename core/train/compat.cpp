// The faults of the described notebook.
#include "handgrad/train/compat.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "handgrad/base/lists.h"
#include "handgrad/train/settings.h"

namespace handgrad {

const std::vector<CompatSwitch>& compat_switches() {
  using Stopping = TrainingOptions::Stopping;
  static const std::vector<CompatSwitch> switches = {
      {"bn-no-backward", true, "batch norm is left out of the backward pass; γ and β stay 1 and 0",
       [](Settings& s, bool on) { s.network.batch_norm.backward = !on; },
       [](const Settings& s) { return !s.network.batch_norm.backward; }},
      {"bn-batch-stats", true, "evaluation normalises with the evaluated set's own statistics, and ε is 1e-8",
       [](Settings& s, bool on) {
         s.network.batch_norm.evaluate_with_running_average = !on;
         s.network.batch_norm.eps = on ? 1e-8 : batch_norm_eps;
       },
       [](const Settings& s) { return !s.network.batch_norm.evaluate_with_running_average; }},
      {"split-twice", false,
       "a fifth of the training images is split off once more; it, not the validation set, decides when to stop",
       [](Settings& s, bool on) { s.split.twice = on; }, [](const Settings& s) { return s.split.twice; }},
      {"fan-out-init", false, "initial weights have the variance 2 / fan_out instead of 2 / fan_in",
       [](Settings& s, bool on) {
         s.network.initial_fan = on ? NetworkOptions::Fan::out : NetworkOptions::Fan::in;
       },
       [](const Settings& s) { return s.network.initial_fan == NetworkOptions::Fan::out; }},
      {"no-shuffle", false, "the batches of all epochs are those of the first",
       [](Settings& s, bool on) { s.training.reshuffle = !on; },
       [](const Settings& s) { return !s.training.reshuffle; }},
      {"delta-stop", false,
       "training ends when two validation costs, 100 steps apart, differ by less than min_delta either way; "
       "the last parameters are kept",
       [](Settings& s, bool on) { s.training.stopping = on ? Stopping::no_change : Stopping::patience; },
       [](const Settings& s) { return s.training.stopping == Stopping::no_change; }},
      {"set-size-penalty", false,
       "validation costs contain the L2 penalty, divided by the size of the set instead of the batch",
       [](Settings& s, bool on) { s.training.watch_penalty = on; },
       [](const Settings& s) { return s.training.watch_penalty; }},
      {"prob-loss", false, "the loss is the logarithm of probabilities clamped to [1e-15, 1 - 1e-15]",
       [](Settings& s, bool on) { s.network.clamp_probabilities = on; },
       [](const Settings& s) { return s.network.clamp_probabilities; }},
  };
  return switches;
}

std::string compat_list(const Settings& settings) {
  std::vector<std::string> names;
  for (const CompatSwitch& fault : compat_switches()) {
    if (fault.is_on(settings)) names.emplace_back(fault.name);
  }
  if (names.empty()) return "none";
  return names.size() == compat_switches().size() ? "notebook" : fmt::format("{}", fmt::join(names, ","));
}

std::optional<Settings> with_compat(Settings settings, const std::string& list) {
  const bool all = list == "notebook";
  const std::vector<std::string> names = all || list == "none" ? std::vector<std::string>() : parts_of(list);
  std::size_t known = 0;
  for (const CompatSwitch& fault : compat_switches()) {
    const auto times = static_cast<std::size_t>(std::count(names.begin(), names.end(), fault.name));
    known += times;
    fault.set(settings, all || times > 0);
  }
  return known == names.size() ? std::optional(settings) : std::nullopt;
}

}  // namespace handgrad
