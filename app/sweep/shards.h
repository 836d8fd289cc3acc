// A sweep in several shares, each trained by a start of its own, on one machine or on many, and put together.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cli/options.h"
#include "sweep/sweep_directory.h"
#include "sweep/sweep_runner.h"

namespace handgrad::app {

// Share `number` of `count`, from 1 on.
struct Shard {
  std::size_t number = 1, count = 1;
};

// "3 of 8"
std::string text_of(Shard shard);

// What --shard says, as 3/8. Throws UsageError.
Shard read_shard(const Options& options);

// Every count-th of the jobs, so that each share has its part of the long ones. Throws UsageError where there are
// fewer jobs than shares.
std::vector<Job> jobs_of(const std::vector<Job>& jobs, Shard shard);

// Where a share goes: "runs/sweep-3-of-8" of runs/sweep.
std::string directory_of(const std::string& out, Shard shard);

// All of them, as a shell finds them: "runs/sweep-*-of-8".
std::string directories_of(const std::string& out, Shard shard);

// What the plan of a share says beyond that of the whole.
Json plan_of_shard(Shard shard, const std::vector<Job>& jobs);

// Puts the shares that `directories` hold together in `out`, which then is as if one start had trained all. Throws
// FileError, and writes nothing, where they are not the whole of one sweep, each share once and finished. Warns
// where they were trained by different processors.
SweepDirectory merge_shards(const std::vector<std::string>& directories, const std::string& out);

}  // namespace handgrad::app
