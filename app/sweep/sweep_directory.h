// The directory of a sweep: sweep.json (what is trained), jobs/ (a file per finished training, so that a
// sweep can go on where it was killed), results.csv and results.jsonl (a row per run), models/ (of the first
// seed).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "run/run_directory.h"
#include "sweep/job_result.h"

namespace handgrad::app {

class SweepDirectory {
 public:
  // Begins a sweep, or goes on with the one in `out`, which must have the same configurations, data and
  // version. `plan` is what sweep.json holds. `out` empty: the next free runs/NNN. Throws FileError.
  SweepDirectory(const std::string& out, Json plan);

  const std::filesystem::path& path() const { return path_; }

  // A job is an ensemble, by its number, with a seed.
  bool has_job(std::uint64_t seed, std::size_t ensemble) const;
  // Of an ensemble that was trained with these seeds.
  void write(std::size_t ensemble, const std::vector<std::uint64_t>& seeds, const JobResult& result) const;

  // Copies the jobs and models of another sweep, which has the same configurations. Throws FileError.
  void take_over(const std::filesystem::path& other);

  // The time that the sweep took, over all its starts.
  double seconds() const { return plan_.at("seconds"); }
  void add_seconds(double seconds);

  // Writes results.csv and results.jsonl from all jobs that are there, rows in the order of configurations
  // and seeds, and returns how many rows there are.
  std::size_t write_results() const;

 private:
  std::filesystem::path path_;
  std::optional<DirectoryLock> lock_;
  Json plan_;
};

// A sweep as it lies on disk.
struct Sweep {  // NOLINT(bugprone-exception-escape): of the JSON library's move
  std::filesystem::path path;
  Json plan;
  std::vector<Json> rows;  // each with its curves: keys train_curve, evaluations, weights
};

bool is_sweep(const std::filesystem::path& path);

// How many jobs of a sweep are done.
std::size_t count_jobs(const std::filesystem::path& sweep);

// Whether a path names a file that a sweep keeps, be it there or not.
bool is_kept_by_sweep(const std::filesystem::path& file);

// Throws FileError, or ModelError where a file is damaged.
Sweep read_sweep(const std::filesystem::path& path);

// A name as part of a file name: "experiment-1".
std::string file_name_of(const std::string& configuration);

}  // namespace handgrad::app
