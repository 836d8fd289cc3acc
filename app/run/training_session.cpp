// What a training works with.
#include "run/training_session.h"

#include <algorithm>
#include <future>
#include <utility>

#include "handgrad/platform/blas_kernels.h"
#include "handgrad/platform/threads.h"
#include "handgrad/train/footprint.h"
#include "run/data_set.h"
#include "run/processes.h"

namespace handgrad::app {

namespace {

// To augment images takes about as long as a step of a small network: the thread that gathers them ahead keeps
// a core to itself. A network of so many parameters takes ten times as long for an image.
constexpr std::int64_t many_parameters = 250000;

int chosen_threads(const Architecture& architecture, const Settings& settings, int cores) {
  const int useful =
      useful_threads(largest_layer_flops(architecture, settings.replicas, settings.training.batch_size));
  const bool keeps_a_core = settings.training.augment.options().any() &&
                            settings.replicas * architecture.parameter_count() < many_parameters;
  return keeps_a_core ? std::clamp(cores - 1, 1, useful) : std::min(cores, useful);
}

}  // namespace

TrainingSession prepare_training(Settings& settings, const Options& options, ProcessGroup* processes) {
  TrainingSession session;
  const std::optional<int> threads_asked = read_threads(options);
  session.device = read_own_device(options, processes);
  if (processes != nullptr && session.device.is_cuda()) processes->join_gpus(session.device);
  session.dataset = open_dataset(settings.data_request());
  const Architecture architecture = settings.architecture(session.dataset);
  SplitIndices images =
      split_indices(session.dataset.train_count(), session.dataset.test_count(), settings.split);
  validate(settings.training, architecture, settings.replicas, static_cast<std::int64_t>(images.train.size()),
           settings.network);
  validate(settings.training.augment.options(), session.images());
  static_cast<void>(
      BatchPart(settings.training.batch_size, settings.network.shards, processes));  // or it throws
  require_memory({architecture, settings.network, settings.training, std::move(images), settings.replicas, 1,
                  session.device.is_cpu(), session.device.is_cuda()},
                 session.device, own_free_memory(session.device, processes));
  // Another core may sum up the data while this one splits them.
  const auto when = threads_asked == 1 ? std::launch::deferred : std::launch::async | std::launch::deferred;
  std::future<std::string> sha256 = std::async(when, [&] { return session.dataset.sha256(); });
  session.splits =
      split(session.dataset, settings.split, at::TensorOptions(session.device).dtype(at::kFloat));
  session.threads = threads_asked.value_or(chosen_threads(architecture, settings, own_cores(processes)));
  set_threads(session.threads);
  choose_blas_kernels(architecture.widest_hidden());
  settings.training.prefetch = threads_asked != 1 && session.threads < own_cores(processes);
  session.network = std::make_unique<Network>(
      architecture, settings.replicas, session.splits.train.targets.options(), settings.network, processes);
  session.data_sha256 = sha256.get();
  return session;
}

}  // namespace handgrad::app
