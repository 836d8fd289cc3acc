// A sweep in several shares.
#include "sweep/shards.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "handgrad/base/counted.h"
#include "handgrad/base/numbers.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/file.h"
#include "run/resumption.h"

namespace handgrad::app {

namespace {

namespace fs = std::filesystem;

constexpr const char* shard_key = "shard";
constexpr const char* trainings_key = "shard_trainings";

// What is the same in all shares of a sweep.
const std::vector<const char*> common_keys = {
    "version",        "libtorch", "classes", "data_sha256", "configurations", "seeds",           "ensembles",
    "seeds_together", "loss",     "claims",  "published",   "reference",      "compared_weights"};

// What may differ, but shows in the last bits.
const std::vector<const char*> rounding_keys = {"blas", "processor", "device"};

// A share as it lies on disk, held so that nobody goes on with it.
struct Share {
  fs::path path;
  std::string name;  // of the path, to print
  DirectoryLock lock;
  Json plan;
  Shard shard;
  std::size_t trainings;  // that it consists of
  double seconds;         // that they took
};

Share open_share(const std::string& directory) {
  const fs::path path(directory);
  const std::string name = printable(directory);
  if (!is_sweep(path)) {
    throw FileError(
        fmt::format("{}: is no sweep; name the folders that `handgrad sweep --shard` made", name));
  }
  Share share{path, name, DirectoryLock(path), read_sweep(path).plan, {}, 0, 0};
  if (!share.plan.contains(shard_key)) {
    throw FileError(fmt::format("{}: is a whole sweep and no share of one; leave it out", name));
  }
  try {
    const Json& shard = share.plan.at(shard_key);
    share.shard = {shard.at(0), shard.at(1)};
    share.trainings = share.plan.at(trainings_key);
    share.seconds = share.plan.at("seconds");
    for (const char* key : rounding_keys) share.plan.at(key).get_ref<const std::string&>();
  } catch (const Json::exception& error) {
    throw ModelError(fmt::format(
        "{}: its sweep.json is damaged ({}); train that share again in another folder", name, error.what()));
  }
  return share;
}

void require_same_sweep(const Share& first, const Share& other) {
  if (first.shard.count != other.shard.count) {
    throw FileError(fmt::format("{} is share {}, {} is share {}; name the shares of one sweep", first.name,
                                text_of(first.shard), other.name, text_of(other.shard)));
  }
  for (const char* key : common_keys) {
    if (first.plan.value(key, Json()) == other.plan.value(key, Json())) continue;
    throw FileError(fmt::format("{} and {} differ in their {}; name the shares of one sweep", first.name,
                                other.name, key));
  }
}

void require_whole(const std::vector<Share>& shares) {
  std::map<std::size_t, const Share*> by_number;
  for (const Share& share : shares) {
    const auto [twin, is_new] = by_number.emplace(share.shard.number, &share);
    if (!is_new) {
      throw FileError(fmt::format("{} and {} are both share {}; name one of them", twin->second->name,
                                  share.name, text_of(share.shard)));
    }
    const std::size_t done = count_jobs(share.path);
    if (done != share.trainings) {
      throw FileError(fmt::format("{}: has {} of its {}; start share {} again, which goes on with it",
                                  share.name, done, counted(share.trainings, "training"),
                                  text_of(share.shard)));
    }
  }
  for (std::size_t number = 1; number <= shares.front().shard.count; ++number) {
    if (by_number.count(number) > 0) continue;
    throw FileError(
        fmt::format("share {} is missing; name all of them", text_of({number, shares.front().shard.count})));
  }
}

// A folder may be named with one behind it.
std::string without_slash(const std::string& directory) {
  return directory.substr(0, directory.find_last_not_of('/') + 1);
}

// "A; B" where shares have different ones, and a warning then.
Json all_of(const std::vector<Share>& shares, const char* key) {
  std::set<std::string> values;
  for (const Share& share : shares) values.insert(share.plan.at(key).get<std::string>());
  const std::string text = fmt::format("{}", fmt::join(values, "; "));
  if (values.size() > 1) {
    warn(fmt::format(
        "the shares were trained with different {}: {}; the last bits of a result may differ by that", key,
        text));
  }
  return text;
}

}  // namespace

std::string text_of(Shard shard) {
  return fmt::format("{} of {}", shard.number, shard.count);
}

Shard read_shard(const Options& options) {
  const std::string& text = options.text("shard");
  const std::size_t slash = text.find('/');
  const auto number = parse_integer(text.substr(0, slash));
  const auto count = slash == std::string::npos ? std::nullopt : parse_integer(text.substr(slash + 1));
  if (!number || !count || *number < 1 || *count < *number) {
    throw options.wrong("shard", "a number from 1 on and how many shares there are, such as 3/8");
  }
  return {static_cast<std::size_t>(*number), static_cast<std::size_t>(*count)};
}

std::vector<Job> jobs_of(const std::vector<Job>& jobs, Shard shard) {
  if (shard.count > jobs.size()) {
    throw UsageError(
        fmt::format("--shard: got {} shares; must be at most one for each training, of which there are {}",
                    shard.count, jobs.size()));
  }
  std::vector<Job> share;
  for (std::size_t i = shard.number - 1; i < jobs.size(); i += shard.count) share.push_back(jobs[i]);
  return share;
}

std::string directory_of(const std::string& out, Shard shard) {
  return fmt::format("{}-{}-of-{}", without_slash(out), shard.number, shard.count);
}

std::string directories_of(const std::string& out, Shard shard) {
  return fmt::format("{}-*-of-{}", without_slash(out), shard.count);
}

Json plan_of_shard(Shard shard, const std::vector<Job>& jobs) {
  std::size_t trainings = 0;
  for (const Job& job : jobs) trainings += job.seeds.size();
  return {{shard_key, {shard.number, shard.count}}, {trainings_key, trainings}};
}

SweepDirectory merge_shards(const std::vector<std::string>& directories, const std::string& out) {
  std::vector<Share> shares;
  for (const std::string& directory : directories) {
    if (!out.empty() && fs::absolute(out).lexically_normal() == fs::absolute(directory).lexically_normal()) {
      throw FileError(
          fmt::format("--out: {} is one of the shares; choose another directory", printable(out)));
    }
    for (const Share& share : shares) {
      std::error_code missing;
      if (fs::equivalent(share.path, directory, missing)) {
        throw FileError(
            fmt::format("{} and {} are the same share; name it once", share.name, printable(directory)));
      }
    }
    shares.push_back(open_share(directory));
    require_same_sweep(shares.front(), shares.back());
  }
  require_whole(shares);
  Json plan = shares.front().plan;
  plan.erase(shard_key);
  plan.erase(trainings_key);
  for (const char* key : rounding_keys) plan[key] = all_of(shares, key);
  double seconds = 0;
  for (const Share& share : shares) seconds += share.seconds;
  SweepDirectory directory(out, plan);
  for (const Share& share : shares) directory.take_over(share.path);
  directory.add_seconds(seconds - directory.seconds());
  return directory;
}

}  // namespace handgrad::app
