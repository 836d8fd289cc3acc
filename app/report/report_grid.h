// The section of a report about the grid of a sweep.
#pragma once

#include <vector>

#include "report/sweep_view.h"

namespace handgrad::app {

// Cost curves and test accuracies by axis, of up to three axes; null where the sweep has no grid, or nothing
// of it to show.
Json grid_section(const SweepResults& sweep);

}  // namespace handgrad::app
