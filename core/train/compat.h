// The preset --compat: faults of the described notebook, each alone or all, to measure what they cost. Each
// is an option of the network, of the split or of training, which know nothing of the notebook.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace handgrad {

struct Settings;

struct CompatSwitch {
  const char* name;
  bool needs_batch_norm;  // without it the switch changes nothing
  const char* fault;      // what the notebook does
  void (*set)(Settings& settings, bool on);
  bool (*is_on)(const Settings& settings);
};

const std::vector<CompatSwitch>& compat_switches();

// "none", "notebook" for all, or the names of those that are on with commas between; and from that, none
// where it is none of these.
std::string compat_list(const Settings& settings);
std::optional<Settings> with_compat(Settings settings, const std::string& list);

}  // namespace handgrad
