// The section of a report that every sweep has: what each configuration came to, and how its runs ended.
#pragma once

#include "report/sweep_view.h"

namespace handgrad::app {

// Accuracies and losses with their intervals, and endings, of each configuration; which is best.
Json results_section(const SweepResults& sweep);

}  // namespace handgrad::app
