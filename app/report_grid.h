// The section of a report about the grid of a sweep.
#pragma once

#include <vector>

#include "sweep_view.h"

namespace handgrad::app {

// Cost curves, accuracies and the best point by validation accuracy; null where the sweep has no grid.
Json grid_section(const Sweep& sweep);

}  // namespace handgrad::app
