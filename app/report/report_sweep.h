// The sections of a report about sweeps.
#pragma once

#include <string>
#include <vector>

#include "report/report_blocks.h"
#include "sweep/findings.h"

namespace handgrad::app {

// What stands at the top of the page.
std::vector<std::string> sweep_headlines(const std::vector<SweepResults>& sweeps);

// Claims, the results of each configuration, published figures beside ours, the grid, the experiments, their
// variants, weight statistics: as much of it as the sweeps hold.
Json sweep_sections(const std::vector<SweepResults>& sweeps);

// Machine, versions, command line, time.
Json sweep_facts(const std::vector<SweepResults>& sweeps);

}  // namespace handgrad::app
