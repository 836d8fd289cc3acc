// What a training batch says of the numbers that batch norm normalises.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/nn/parameters.h"
#include "handgrad/nn/shards.h"

namespace handgrad {

// The mean and the variance of each layer, in one buffer, so that the running statistics of all follow them in one
// operation.
class BatchStatistics {
 public:
  // Of nothing.
  BatchStatistics() = default;
  // Of batches of the size of this one. apart: of each of its shards. Throws ArgumentError where one of these has
  // fewer than 2 images.
  BatchStatistics(const Architecture& architecture, std::int64_t replicas, const at::TensorOptions& options,
                  const BatchPart& batch, bool apart);

  // Of the whole batch, or of each shard of this process: means, and biased variances, which batch norm writes.
  std::vector<RunningStatistics> of;

  bool of_shards() const { return shards_.defined(); }

  // Moves the running statistics by batch_norm_update_running; of shards by the mean of theirs, in which each counts
  // as its images do. Once for each batch: makes the variances unbiased.
  void update(RunningStatistics& running);

 private:
  Tensor shards_;                // [V,n], the statistics of each shard; undefined where there are none apart
  std::vector<Tensor> factors_;  // [n], by which those of `of` are taken
  ProcessGroup* processes_ = nullptr;
};

}  // namespace handgrad
