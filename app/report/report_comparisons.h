// The sections of a report that set runs beside runs: variants of experiments, and others by the same rules.
#pragma once

#include <vector>

#include "report/sweep_view.h"

namespace handgrad::app {

// Variants against the experiment that they vary, seed by seed; null where the sweep has none.
Json variants_section(const SweepResults& sweep);

// What the faults of --compat do that any configuration has switched on; null where none has.
Json switches_section(const std::vector<SweepResults>& sweeps);

// Ours against other runs by the same rules; null where the sweep names none.
Json reference_section(const SweepResults& sweep);

}  // namespace handgrad::app
