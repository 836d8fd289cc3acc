// The jobs of a sweep, trained by the threads of one process or of several.
#pragma once

#include <vector>

#include "handgrad/platform/process_group.h"
#include "sweep/sweep_directory.h"
#include "sweep/sweep_runner.h"

namespace handgrad::app {

// Trains all jobs, `workers` at a time in each process, and stores every result in the directory as it comes,
// until a signal. Where there are several processes this is rank 0 of them, which trains too, at last also what
// others that ended or hang have begun. Returns the seconds that this took. Throws what training and storing
// throw, and LaunchError.
double train_jobs(const SweepRunner& runner, const std::vector<Job>& jobs, int workers,
                  SweepDirectory& directory, ProcessGroup* processes);

// As another rank: trains the next of the jobs that nobody has, again and again, and sends rank 0 the results.
// Returns the exit code. Throws what training throws, and LaunchError.
int train_jobs_for_first(const SweepRunner& runner, const std::vector<Job>& jobs, int workers,
                         ProcessGroup& processes);

}  // namespace handgrad::app
