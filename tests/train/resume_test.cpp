// Training that stops and goes on ends with the same bits; what cannot be written damages nothing.
#include <cerrno>
#include <cmath>
#include <map>
#include <numeric>

#include "data/small_data.h"
#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/files/json_check.h"
#include "handgrad/files/sha256.h"
#include "handgrad/files/temporary_directory.h"
#include "handgrad/train/checkpoint.h"
#include "handgrad/train/trainer.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

// Keeps the state after each of these steps, as its file; stops where it is told to.
class Keeper : public TrainingObserver {
 public:
  std::int64_t stop_after = -1;
  std::map<std::int64_t, std::string> files;
  std::vector<std::pair<std::int64_t, double>> heard;  // step, loss

  void on_train(const TrainRecord& record) override { heard.emplace_back(record.step, record.loss.back()); }
  void on_evaluation(const EvaluationRecord& record) override {
    heard.emplace_back(record.step, record.validation.back().loss);
  }
  Request requested(std::int64_t step, bool /*epoch_ended*/) override {
    if (step == stop_after) return Request::stop;
    return stop_after < 0 ? Request::checkpoint : Request::none;
  }
  void on_checkpoint(TrainingState state) override { files[state.number("step")] = to_checkpoint(state); }
};

struct ResumeCase {
  const char* name;
  Architecture architecture;
  std::int64_t replicas;
  OptimizerOptions::Kind optimizer;
  TrainingOptions::Stopping stopping;
  double rate;
  std::int64_t epochs;
  RateScheduleOptions::Kind schedule = RateScheduleOptions::Kind::constant;
};

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

}  // namespace

TEST_CASE("training goes on from any step to the same bits", "[training]") {
  using Kind = OptimizerOptions::Kind;
  using Stopping = TrainingOptions::Stopping;
  const auto setting = GENERATE_COPY(
      ResumeCase{"plain", {30, {6, 4}, 3, BatchNormPlace::none}, 1, Kind::sgd, Stopping::patience, 0.1, 4},
      ResumeCase{"batch norm, Adam, three networks",
                 {30, {6, 4}, 3, BatchNormPlace::after},
                 3,
                 Kind::adam,
                 Stopping::patience,
                 0.01,
                 4,
                 RateScheduleOptions::Kind::cosine},
      ResumeCase{"momentum, stops early",
                 {30, {6}, 3, BatchNormPlace::none},
                 2,
                 Kind::momentum,
                 Stopping::patience,
                 0.05,
                 30},
      ResumeCase{"a network that leaves the finite numbers",
                 {30, {6, 4}, 3, BatchNormPlace::none},
                 2,
                 Kind::sgd,
                 Stopping::patience,
                 1e38,
                 4},
      ResumeCase{"tanh, batch norm",
                 {30, {6, 4}, 3, BatchNormPlace::after, Activation::tanh},
                 2,
                 Kind::momentum,
                 Stopping::patience,
                 0.01,
                 4},
      ResumeCase{
          "everything on", {30, {6, 4}, 3, BatchNormPlace::before}, 2, Kind::sgd, Stopping::patience, 0.1, 4},
      ResumeCase{"batch norm before leaky ReLU, two networks",
                 {30, {6, 4}, 3, BatchNormPlace::before, Activation::leaky_relu},
                 2,
                 Kind::adam,
                 Stopping::patience,
                 0.01,
                 4},
      ResumeCase{"no change",
                 {30, {6}, 3, BatchNormPlace::after},
                 2,
                 Kind::nesterov,
                 Stopping::no_change,
                 0.01,
                 60});
  CAPTURE(setting.name);
  const Dataset dataset = small_dataset(300, 30);
  SplitOptions split_options;
  const bool everything = setting.name == std::string("everything on");
  split_options.deskew = everything;
  split_options.standardise = everything;
  const Splits data = split(dataset, split_options, at::kFloat);
  TrainingOptions options;
  options.batch_size = 7;  // 35 steps an epoch, the last of two images
  options.epochs = setting.epochs;
  options.optimizer.kind = setting.optimizer;
  options.learning_rate = {setting.rate};
  options.schedule.kind = setting.schedule;
  if (setting.schedule != RateScheduleOptions::Kind::constant)
    options.schedule.warmup = Interval{1, Interval::Unit::epochs};
  options.evaluate_every = {20, Interval::Unit::steps};
  options.stopping = setting.stopping;
  options.patience = 3;
  options.min_delta = 0.01;
  NetworkOptions network_options;
  if (everything) {
    options.augment.preset = AugmentChoice::Preset::strong;
    options.label_smoothing = 0.1;
    options.clip = 0.5;
    options.ema = 0.9;
    options.reestimate_batch_norm = true;
    network_options.dropout = {0.1, 0.2};
    network_options.shards = 3;
  }
  options.seeds.resize(static_cast<std::size_t>(setting.replicas));
  std::iota(options.seeds.begin(), options.seeds.end(), 1);

  const auto train_from = [&](Network& network, Keeper& keeper, const TrainingState* from) {
    return train(network, data, options, keeper, from);
  };
  Network whole(setting.architecture, setting.replicas, at::kFloat, network_options);
  Keeper keeper;
  const TrainingResult expected = train_from(whole, keeper, nullptr);
  const std::int64_t last = keeper.files.rbegin()->first;
  REQUIRE(last >= 20);
  if (setting.stopping == Stopping::no_change) REQUIRE(expected.stopped == StopReason::early_stopping);
  for (const auto& [step, file] : keeper.files) {
    if (step % 13 != 0 && step + 1 < last) continue;
    CAPTURE(step, last);
    Network resumed(setting.architecture, setting.replicas, at::kFloat, network_options);
    Keeper after;
    const TrainingState from = parse_checkpoint(file, "checkpoint");
    const TrainingResult result = train_from(resumed, after, &from);
    CHECK(to_checkpoint({{{"p", resumed.parameters.flat}, {"r", resumed.running.flat}}, {}}) ==
          to_checkpoint({{{"p", whole.parameters.flat}, {"r", whole.running.flat}}, {}}));
    CHECK(result.steps == expected.steps);
    CHECK(result.stopped == expected.stopped);
    for (std::size_t r = 0; r < result.replicas.size(); ++r) {
      const ReplicaResult& a = result.replicas[r];
      const ReplicaResult& b = expected.replicas[r];
      CHECK(a.stopped == b.stopped);
      CHECK(a.fault == b.fault);
      CHECK(a.steps == b.steps);
      CHECK(a.best_step == b.best_step);
      CHECK(same(a.train_cost, b.train_cost));
      CHECK(same(a.test.loss, b.test.loss));
    }
    // What is heard after the step is what was heard the first time.
    std::vector<std::pair<std::int64_t, double>> rest;
    for (const auto& entry : keeper.heard) {
      if (entry.first > step) rest.push_back(entry);
    }
    REQUIRE(after.heard.size() == rest.size());
    for (std::size_t i = 0; i < rest.size(); ++i) {
      CHECK(after.heard[i].first == rest[i].first);
      CHECK(same(after.heard[i].second, rest[i].second));
    }
  }

  // A request to stop hands over the state before the evaluation that is made for it alone.
  if (expected.stopped != StopReason::max_epochs) return;
  Keeper stopping;
  stopping.stop_after = 47;
  Network stopped(setting.architecture, setting.replicas, at::kFloat, network_options);
  CHECK(train_from(stopped, stopping, nullptr).stopped == StopReason::interrupted);
  REQUIRE(stopping.files.count(47) == 1);
  const TrainingState from = parse_checkpoint(stopping.files.at(47), "checkpoint");
  Keeper after;
  train_from(stopped, after, &from);
  CHECK(at::equal(stopped.parameters.flat, whole.parameters.flat));
}

TEST_CASE("a state of another network is refused", "[training]") {
  const Dataset dataset = small_dataset(60, 10);
  const Splits data = split(dataset, {}, at::kFloat);
  TrainingOptions options;
  options.batch_size = 7;
  options.epochs = 1;
  Keeper keeper;
  Network network({30, {4}, 3, BatchNormPlace::none}, 1, at::kFloat);
  train(network, data, options, keeper);
  const TrainingState state = parse_checkpoint(keeper.files.rbegin()->second, "checkpoint");
  Network other({30, {5}, 3, BatchNormPlace::none}, 1, at::kFloat);
  CHECK_THROWS_AS(train(other, data, options, keeper, &state), ModelError);
  // Numbers that no training has, with a checksum that is theirs.
  const auto refused = [&](const std::string& name, const Tensor& value) {
    CAPTURE(name);
    TrainingState changed = state;
    changed.tensors[name] = value;
    CHECK_THROWS_AS(train(network, data, options, keeper, &changed), ModelError);
  };
  const auto number = [](std::int64_t value) { return at::scalar_tensor(value, at::kLong); };
  for (const std::int64_t value : {-1L, -1000000000000L, 9000000000000000000L}) {
    refused("step", number(value));
    refused("checked.step", number(value));
    refused("replica.best_step", number(value).view({1}));
    refused("replica.steps", number(value).view({1}));
  }
  refused("optimizer.steps", number(-1));
  refused("replica.stopped", number(77).view({1}));
  refused("replica.stopped", number(-2).view({1}));
  options.optimizer.kind = OptimizerOptions::Kind::adam;
  CHECK_THROWS_AS(train(network, data, options, keeper, &state), ModelError);
}

TEST_CASE("a checkpoint that is damaged in any byte is refused", "[training]") {
  TrainingState state;
  state.tensors["a"] = at::arange(12, at::kFloat);
  state.text["config"] = R"({"a":"b"})";
  state.set("step", 7);
  const std::string file = to_checkpoint(state);
  CHECK(parse_checkpoint(file, "file").number("step") == 7);
  CHECK(parse_checkpoint(file, "file").string("config") == state.text["config"]);
  for (std::size_t i = 0; i < file.size(); ++i) {
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    CHECK_THROWS_AS(parse_checkpoint(damaged, "file"), ModelError);
    CHECK_THROWS_AS(parse_checkpoint(file.substr(0, i), "file"), ModelError);
  }
  // Another version, with the checksum that belongs to it.
  std::string later = file;
  const std::string version = R"("checkpoint_version":"1")";
  later.replace(later.find(version), version.size(), R"("checkpoint_version":"2")");
  CHECK_THROWS_WITH(parse_checkpoint(later, "file"), Contains("checksum"));
  const std::string key = R"("sha256":")";
  const std::size_t place = later.find(key) + key.size();
  later.replace(place, 64, std::string(64, '0'));
  later.replace(place, 64, Sha256().update(later).hex());
  CHECK_THROWS_WITH(parse_checkpoint(later, "file"), Contains("format version 2"));
}

TEST_CASE("a file that cannot be written at any call stays what it was", "[data]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  const std::string old(1000, 'o');
  const std::string contents(1000, 'n');
  const auto text = [&] {
    const Bytes bytes = read_file(path);
    return std::string(bytes.begin(), bytes.end());
  };
  std::vector<std::string> calls;
  write_file(path, old);
  inject_file_faults([&](std::string_view call) {
    calls.emplace_back(call);
    return 0;
  });
  write_file(path, old);
  CHECK(calls ==
        std::vector<std::string>{"open", "fchmod", "write", "fsync", "close", "rename", "fsync directory"});
  for (const int error : {ENOSPC, EIO, EDQUOT}) {
    for (std::size_t failing = 0; failing < calls.size(); ++failing) {
      CAPTURE(error, calls[failing]);
      std::size_t call = 0;
      inject_file_faults([&](std::string_view /*call*/) { return call++ == failing ? error : 0; });
      CHECK_THROWS_AS(write_file(path, contents), FileError);
      inject_file_faults({});
      // Only the last failure comes after the new contents are there, and says so.
      CHECK(text() == (failing + 1 == calls.size() ? contents : old));
      CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
      write_file(path, old);
    }
  }
  inject_file_faults([](std::string_view call) { return call == "write" ? short_write : 0; });
  write_file(path, contents);
  inject_file_faults({});
  CHECK(text() == contents);
}

TEST_CASE("JSON that nests too deep or has a key twice is known before it is built", "[data]") {
  CHECK(check_json(R"({"a":[1,{"a":2}],"b":[]})", 3).good);
  CHECK_FALSE(check_json(R"({"a":[1,{"a":2}],"b":[]})", 2).good);
  CHECK_FALSE(check_json(std::string(2000000, '['), 64).good);
  CHECK_FALSE(check_json("{", 64).good);
  CHECK(check_json(R"({"a":[1,{"a":2}],"b":[]})", 3).repeated_key.empty());
  CHECK(check_json(R"([{"b":{"a":1,"c":2,"a":3}}])", 3).repeated_key == "a");
}

TEST_CASE("a growing file loses nothing while it cannot be written", "[data]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "log";
  const auto text = [&] {
    const Bytes bytes = read_file(path);
    return std::string(bytes.begin(), bytes.end());
  };
  {
    GrowingFile file(path, 0);
    file.append("one\n");
    int writes = 0;
    // A short write, then none.
    inject_file_faults([&](std::string_view call) {
      return call != "write" ? 0 : writes++ == 0 ? short_write : ENOSPC;
    });
    CHECK_THROWS_AS(file.append("two\n"), FileError);
    CHECK(text() == "one\nt");
    CHECK_THROWS_AS(file.append("three\n"), FileError);
    CHECK_THROWS_AS(file.flush(), FileError);
    CHECK(file.size() == 14);
    inject_file_faults([](std::string_view call) { return call == "fsync" ? EIO : 0; });
    CHECK_THROWS_AS(file.flush(), FileError);
    inject_file_faults({});
    file.append("four\n");
    CHECK(text() == "one\ntwo\nthree\nfour\n");
  }
  // What lies behind the given size is cut off.
  GrowingFile file(path, 8);
  file.append("end\n");
  CHECK(text() == "one\ntwo\nend\n");
  inject_file_faults([](std::string_view call) { return call == "ftruncate" ? EIO : 0; });
  CHECK_THROWS_AS(GrowingFile(path, 8), FileError);
  inject_file_faults({});
  CHECK_THROWS_AS(GrowingFile(directory.path() / "missing" / "log", 0), FileError);
}

TEST_CASE("a directory is held by one at a time", "[data]") {
  const TemporaryDirectory directory;
  {
    const DirectoryLock lock(directory.path());
    CHECK_THROWS_WITH(DirectoryLock(directory.path()), Contains("another handgrad is at work in it"));
  }
  CHECK_NOTHROW(DirectoryLock(directory.path()));
  CHECK_THROWS_AS(DirectoryLock(directory.path() / "missing"), FileError);
}
