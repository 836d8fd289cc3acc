// Independent jobs, such as the training of groups of networks, spread over the cores.
#pragma once

#include <functional>
#include <vector>

namespace handgrad {

// Runs all jobs, `workers` of them at a time, and returns when all have ended. Each job computes on one
// thread alone, so that the cores are never oversubscribed; what a job computes does not depend on `workers`.
// The jobs must not share what they change. Rethrows the failure of the first job, in their order, that
// failed.
void run_jobs(const std::vector<std::function<void()>>& jobs, int workers);

}  // namespace handgrad
