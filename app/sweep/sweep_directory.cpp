// The directory of a sweep.
#include "sweep/sweep_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/train/sweep.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

constexpr const char* plan_file = "sweep.json";
constexpr const char* csv_file = "results.csv";
constexpr const char* jsonl_file = "results.jsonl";
constexpr const char* jobs_directory = "jobs";
constexpr const char* models_directory = "models";

// What must be the same for a sweep to go on.
const std::vector<const char*> fixed_keys = {"version",     "libtorch",       "blas",
                                             "processor",   "device",         "classes",
                                             "data_sha256", "configurations", "shard"};

// Too long for a row of a table.
const std::vector<const char*> curve_keys = {"train_curve", "evaluations", "weights"};

Json fixed_part(const Json& plan) {
  Json part;
  for (const char* key : fixed_keys) part[key] = plan.contains(key) ? plan[key] : Json();
  return part;
}

// How soon the run got to the loss; null where it never did.
void add_convergence(Json& row, double loss) {
  std::vector<Run::Evaluation> evaluations;
  for (const Json& e : row.at("evaluations")) {
    if (e.at(1).is_number()) evaluations.push_back({e.at(0), e.at(1)});  // null where it was not finite
  }
  const double reached = steps_to_loss(evaluations, loss);
  row["steps_to_loss"] = reached;
  row["epochs_to_loss"] = reached / row.at("steps_per_epoch").get<double>();
}

fs::path job_path(const fs::path& sweep, std::uint64_t seed, std::size_t ensemble) {
  return sweep / jobs_directory / fmt::format("seed-{}-ensemble-{}.json", seed, ensemble);
}

std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code unreadable;
  for (fs::directory_iterator entry(directory, unreadable), end; !unreadable && entry != end;
       entry.increment(unreadable)) {
    if (entry->path().extension() == ".json" || entry->path().extension() == ".pt")
      files.push_back(entry->path());
  }
  return files;
}

std::string csv_field(const Json& value) {
  if (value.is_null() || (value.is_number_float() && !std::isfinite(value.get<double>()))) return "";
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

SweepDirectory::SweepDirectory(const std::string& out, Json plan) : path_(out), plan_(std::move(plan)) {
  if (out.empty()) path_ = next_free_run();
  make_directories(path_);
  lock_.emplace(path_);
  if (is_sweep(path_)) {
    const Json before = read_json(path_ / plan_file);
    const Json was = fixed_part(before);
    const Json is = fixed_part(plan_);
    for (const auto& [key, value] : is.items()) {
      if (was[key] == value) continue;
      throw FileError(fmt::format("--out: {} holds a sweep that differs in its {}; choose another directory",
                                  path_.string(), key));
    }
    plan_["seconds"] = before.value("seconds", 0.0);
  } else if (!fs::is_empty(path_)) {
    throw FileError(fmt::format(
        "--out: {} holds something that is no sweep; choose an empty or new directory", path_.string()));
  } else {
    plan_["seconds"] = 0.0;
  }
  make_directories(path_ / jobs_directory);
  write_file(path_ / plan_file, to_text(plan_, 2) + "\n");
}

bool SweepDirectory::has_job(std::uint64_t seed, std::size_t ensemble) const {
  return fs::exists(job_path(path_, seed, ensemble));
}

void SweepDirectory::write(std::size_t ensemble, const std::vector<std::uint64_t>& seeds,
                           const JobResult& result) const {
  if (!result.models.empty()) make_directories(path_ / models_directory);
  for (const auto& [configuration, model] : result.models) {
    write_file(path_ / models_directory / (file_name_of(configuration) + ".pt"), model);
  }
  // Last, as what says that the job is done.
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    write_file(job_path(path_, seeds[s], ensemble), to_text(result.of_seeds.at(s), -1) + "\n");
  }
}

void SweepDirectory::take_over(const fs::path& other) {
  for (const char* part : {jobs_directory, models_directory}) {
    const std::vector<fs::path> files = files_in(other / part);
    if (!files.empty()) make_directories(path_ / part);
    for (const fs::path& file : files) {
      write_file(path_ / part / file.filename(), as_text(read_file(file)));
    }
  }
}

void SweepDirectory::add_seconds(double seconds) {
  plan_["seconds"] = this->seconds() + seconds;
  write_file(path_ / plan_file, to_text(plan_, 2) + "\n");
}

std::size_t SweepDirectory::write_results() const {
  std::string csv;
  std::string jsonl;
  const Sweep sweep = read_sweep(path_);
  for (Json row : sweep.rows) {
    for (const char* key : curve_keys) row.erase(key);
    std::string header;
    std::string line;
    for (const auto& [key, value] : row.items()) {
      header += (header.empty() ? "" : ",") + key;
      line += (line.empty() ? "" : ",") + csv_field(value);
    }
    if (csv.empty()) csv = header + "\n";
    csv += line + "\n";
    jsonl += to_text(row, -1) + "\n";
  }
  write_file(path_ / csv_file, csv);
  write_file(path_ / jsonl_file, jsonl);
  return sweep.rows.size();
}

bool is_sweep(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path / plan_file, unreadable);
}

std::size_t count_jobs(const fs::path& sweep) {
  return files_in(sweep / jobs_directory).size();
}

bool is_kept_by_sweep(const fs::path& file) {
  const fs::path directory = file.parent_path();
  const fs::path name = file.filename();
  if (name == plan_file || name == csv_file || name == jsonl_file) return is_sweep(directory);
  const fs::path within = directory.filename();
  return (within == jobs_directory || within == models_directory) && is_sweep(directory.parent_path());
}

Sweep read_sweep(const fs::path& path) {
  Sweep sweep;
  sweep.path = path;
  sweep.plan = read_json(path / plan_file);
  try {
    const std::vector<std::uint64_t> seeds = sweep.plan.at("seeds");
    const auto ensembles = sweep.plan.at("ensembles").get<std::size_t>();
    std::map<std::pair<std::size_t, std::uint64_t>, Json> rows;
    std::map<std::string, std::size_t> order;
    const Json& loss = sweep.plan.at("loss");
    const Json& configurations = sweep.plan.at("configurations");
    for (const Json& configuration : configurations) {
      order.emplace(configuration.at("name"), order.size());
    }
    for (const std::uint64_t seed : seeds) {
      for (std::size_t e = 0; e < ensembles; ++e) {
        const fs::path file = job_path(path, seed, e);
        if (!fs::exists(file)) continue;
        const Json job = read_json(file);
        for (Json row : job.at("runs")) {
          const std::size_t configuration = order.at(row.at("configuration"));
          if (loss.is_number()) add_convergence(row, loss.get<double>());
          rows[{configuration, seed}] = row;
        }
      }
    }
    for (auto& [key, row] : rows) sweep.rows.push_back(std::move(row));
  } catch (const std::exception& error) {
    throw ModelError(
        fmt::format("{}: a file of this sweep is damaged ({}); remove it, and start the sweep "
                    "again",
                    path.string(), error.what()));
  }
  return sweep;
}

std::string file_name_of(const std::string& configuration) {
  std::string name;
  for (const char c : configuration) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.';
    if (plain) {
      name += c;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  return name;
}

}  // namespace handgrad::app
