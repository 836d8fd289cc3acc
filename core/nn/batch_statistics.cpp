// The statistics of a training batch.
#include "handgrad/nn/batch_statistics.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"
#include "handgrad/nn/network_options.h"
#include "handgrad/nn/ops.h"

namespace handgrad {

BatchStatistics::BatchStatistics(const Architecture& architecture, std::int64_t replicas,
                                 const at::TensorOptions& options, const BatchPart& batch, bool apart)
    : processes_(batch.processes) {
  if (!architecture.has_batch_norm()) return;
  // share: of the batch. The variance of N images is that of v N / (N − 1).
  const auto add = [&](const RunningStatistics& statistics, std::int64_t images, double share) {
    of.push_back(statistics);
    const RunningStatistics factors(architecture, replicas, options);
    const auto n = static_cast<double>(images);
    for (const Tensor& mean : factors.mean) mean.fill_(share);
    for (const Tensor& variance : factors.var) variance.fill_(share * n / (n - 1));
    factors_.push_back(factors.flat);
  };
  if (!apart) {
    add({architecture, replicas, options}, batch.batch_size, 1);
    return;
  }
  // As all processes say, whichever shards they have.
  if (batch.batch_size / batch.all_shards < 2) {
    throw ArgumentError(
        "shards",
        fmt::format("got {}; a batch of {} images leaves fewer than 2 in a shard, which have no spread that "
                    "batch norm could normalise by; choose fewer, or another batch size",
                    batch.all_shards, batch.batch_size));
  }
  shards_ = at::zeros({batch.all_shards, 2 * replicas * architecture.normalised_count()}, options);
  for (std::size_t v = 0; v < batch.shards.size(); ++v) {
    const std::int64_t images = batch.shards[v].images;
    add({architecture, replicas, shards_[batch.first_shard + static_cast<std::int64_t>(v)]}, images,
        static_cast<double>(images) / static_cast<double>(batch.batch_size));
  }
}

void BatchStatistics::update(RunningStatistics& running) {
  for (std::size_t v = 0; v < of.size(); ++v) of[v].flat.mul_(factors_[v]);
  batch_norm_update_running(running.flat, of_shards() ? add_up(shards_, processes_) : of.front().flat,
                            batch_norm_momentum);
}

}  // namespace handgrad
