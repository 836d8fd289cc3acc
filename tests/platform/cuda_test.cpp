// The same program on a GPU. Without one, these cases say that they are skipped.
#include <filesystem>
#include <fstream>
#include <numeric>

#include "data/small_data.h"
#include "handgrad/check/gradcheck.h"
#include "handgrad/files/temporary_directory.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/train/trainer.h"
#include "relative_error.h"
#include "test.h"

using namespace handgrad;

namespace {

using Kind = OptimizerOptions::Kind;

const at::Device gpu(at::kCUDA, 0);

bool is_skipped() {
  if (has_gpu()) return false;
  WARN("skipped: no GPU");  // what ctest looks for
  return true;
}

struct TrainingSetting {
  const char* name;
  std::vector<std::int64_t> hidden;
  BatchNormPlace batch_norm;
  std::int64_t replicas;
  Kind optimizer;
  std::vector<double> l2, rate;
  std::int64_t lanes = 1;

  Architecture architecture() const { return {30, hidden, 3, batch_norm}; }
};

// 200 steps and a few more, with ragged last batches.
const std::vector<TrainingSetting> settings = {
    {"plain", {6, 4}, BatchNormPlace::none, 1, Kind::sgd, {0.01}, {0.1}},
    {"batch norm, Adam", {6, 4}, BatchNormPlace::after, 3, Kind::adam, {0.01}, {0.01}},
    {"AdamW, each its own rate", {6}, BatchNormPlace::after, 2, Kind::adamw, {0.0, 0.5}, {0.01, 0.003}},
    {"Nesterov, each its own λ", {6}, BatchNormPlace::none, 2, Kind::nesterov, {0.0, 0.5}, {0.05}},
    {"momentum, no hidden layer", {}, BatchNormPlace::none, 1, Kind::momentum, {0.01}, {0.05}},
    {"four networks in two lanes", {6, 4}, BatchNormPlace::none, 4, Kind::sgd, {0.01}, {0.1}, 2},
    {"three lanes, batch norm, Adam", {6, 4}, BatchNormPlace::after, 3, Kind::adam, {0.01}, {0.01}, 3},
    {"batch norm before the activation", {6, 4}, BatchNormPlace::before, 3, Kind::sgd, {0.01}, {0.1}}};

TrainingOptions options_of(const TrainingSetting& setting) {
  TrainingOptions options;
  options.batch_size = 7;  // 35 steps an epoch, the last of two images
  options.epochs = 6;
  options.optimizer.kind = setting.optimizer;
  options.l2 = setting.l2;
  options.learning_rate = setting.rate;
  options.seeds.resize(static_cast<std::size_t>(setting.replicas));
  std::iota(options.seeds.begin(), options.seeds.end(), 1);
  options.data_seeds.resize(static_cast<std::size_t>(setting.lanes));
  std::iota(options.data_seeds.begin(), options.data_seeds.end(), 1);
  return options;
}

// The parameters and running statistics that a training ends with, on the CPU.
Tensor trained(const TrainingSetting& setting, const TrainingOptions& options,
               const at::TensorOptions& where) {
  const Splits data = split(small_dataset(300, 30), {}, options.data_seeds, where);
  Network network(setting.architecture(), setting.replicas, where);
  TrainingObserver observer;
  train(network, data, options, observer);
  return at::cat({network.parameters.flat, network.running.flat}).to(at::kCPU);
}

// Keeps the state after a step.
class Keeper : public TrainingObserver {
 public:
  explicit Keeper(std::int64_t step) : step_(step) {}

  Request requested(std::int64_t step, bool /*epoch_ended*/) override {
    return step == step_ ? Request::checkpoint : Request::none;
  }
  void on_checkpoint(TrainingState state) override {
    if (state.number("step") == step_) file = to_checkpoint(state);
  }

  std::string file;

 private:
  std::int64_t step_;
};

}  // namespace

TEST_CASE("gradients on a GPU are those of autograd there, and those of the CPU", "[cuda]") {
  if (is_skipped()) return;
  GradcheckOptions options;
  options.architecture = {
      12, {7, 5}, 4, GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before)};
  options.replicas = GENERATE(1, 3);
  options.device = gpu;
  options.against_cpu = true;
  CAPTURE(name_of(options.architecture.batch_norm), options.replicas);
  const GradientReport report = gradcheck(options);
  for (const GradientCheck& check : report.checks) {
    CAPTURE(check.pair, check.tensor, check.autograd_error.value_or(-1));
    CHECK(check.verdict() == Verdict::passed);
  }
  CHECK(report.passed());
}

TEST_CASE("training on a GPU ends where training on the CPU does", "[cuda]") {
  if (is_skipped()) return;
  for (const TrainingSetting& setting : settings) {
    CAPTURE(setting.name);
    TrainingOptions options = options_of(setting);
    // Some gradients are 0 but for rounding (of a bias before batch norm). Divided by their own size they
    // would be steps like any other: with Adam's usual ε, rounding alone moves the end by up to 5 %, with
    // this one by 1e-13.
    options.optimizer.eps = 1e-2;
    const Tensor there = trained(setting, options, at::TensorOptions(gpu).dtype(at::kDouble));
    const Tensor here = trained(setting, options, at::TensorOptions(at::kCPU).dtype(at::kDouble));
    CHECK(relative_error(there, here) <= 1e-9);
  }
}

TEST_CASE("on a GPU the same seed gives the same bits, with a graph and without", "[cuda]") {
  if (is_skipped()) return;
  const auto where = at::TensorOptions(gpu).dtype(at::kFloat);
  for (const TrainingSetting& setting : settings) {
    CAPTURE(setting.name);
    TrainingOptions options = options_of(setting);
    const Tensor first = trained(setting, options, where);
    CHECK(at::equal(trained(setting, options, where), first));
    options.cuda_graph = false;
    CHECK(at::equal(trained(setting, options, where), first));
    options.data_seeds.back() += 1;
    CHECK_FALSE(at::equal(trained(setting, options, where), first));
  }
}

TEST_CASE("training on a GPU goes on to the same bits", "[cuda]") {
  if (is_skipped()) return;
  const auto where = at::TensorOptions(gpu).dtype(at::kFloat);
  for (const TrainingSetting& setting : settings) {
    CAPTURE(setting.name);
    const TrainingOptions options = options_of(setting);
    const Splits data = split(small_dataset(300, 30), {}, options.data_seeds, where);
    Network whole(setting.architecture(), setting.replicas, where);
    Keeper keeper(101);
    train(whole, data, options, keeper);
    const TrainingState from = parse_checkpoint(keeper.file, "checkpoint");
    Network resumed(setting.architecture(), setting.replicas, where);
    TrainingObserver observer;
    train(resumed, data, options, observer, &from);
    CHECK(at::equal(resumed.parameters.flat, whole.parameters.flat));
    CHECK(at::equal(resumed.running.flat, whole.running.flat));
  }
}

TEST_CASE("a GPU has a name and memory", "[cuda]") {
  if (is_skipped()) return;
  CHECK_FALSE(gpu_name(gpu).empty());
  const GpuMemory memory = gpu_memory(gpu);
  CHECK(memory.free > 0);
  CHECK(memory.total >= memory.free);
}

TEST_CASE("a GPU that cannot be used is noticed, with what to do about it") {
  if (has_gpu()) return;
  const TemporaryDirectory directory;
  const std::filesystem::path root = directory.path();
  const auto controller = [&](const char* name, const char* vendor, const char* kind) {
    const std::filesystem::path device = root / "sys/bus/pci/devices" / name;
    std::filesystem::create_directories(device);
    std::ofstream(device / "vendor") << vendor << '\n';
    std::ofstream(device / "class") << kind << '\n';
  };
  CHECK_FALSE(unused_gpu(root));
  controller("0000:00:02.0", "0x8086", "0x030000");  // a display of another maker
  controller("0000:01:00.1", "0x10de", "0x040300");  // NVIDIA's sound
  CHECK_FALSE(unused_gpu(root));
  SECTION("by the driver's device") {
    std::filesystem::create_directories(root / "dev");
    std::ofstream(root / "dev/nvidia0") << "";
  }
  SECTION("on the PCI bus, for displays or for computing") {
    controller("0000:01:00.0", "0x10de", GENERATE("0x030000", "0x030200"));
  }
  const auto unused = unused_gpu(root);
  REQUIRE(unused);
  CHECK_THAT(unused->remedy, Catch::Contains(built_with_cuda() ? "nvidia-smi" : "setup.sh --cuda"));
}
