// A batch in shards: runs of its images whose sums are taken apart and then added up in an order that depends
// on their number alone, so that the result has the same bits whoever computed which: threads, or processes,
// each of which has equally many shards that follow each other.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "handgrad/base/tensor.h"
#include "handgrad/platform/process_group.h"

namespace handgrad {

// Images that follow each other in a batch.
struct Shard {
  std::int64_t begin = 0;
  std::int64_t images = 0;

  // Those of a tensor [N,…].
  Tensor of(const Tensor& batch) const { return batch.narrow(0, begin, images); }
};

// A batch of so many images, as equally as can be: shards of ⌊N/V⌋ and ⌈N/V⌉ images, so that some are empty where
// there are fewer images than shards. Throws ArgumentError for less than one shard.
std::vector<Shard> cut(std::int64_t batch_size, std::int64_t shards);

// What this process computes of a batch: all of it, unless there are others.
struct BatchPart {
  // Throws ArgumentError as `cut` does, and where the processes cannot have equally many shards.
  BatchPart(std::int64_t batch_size, std::int64_t shards, ProcessGroup* processes = nullptr);

  std::int64_t batch_size;       // N, of the batch that this is a part of
  std::int64_t all_shards;       // V, of the batch
  ProcessGroup* processes;       // null where there is but one
  std::int64_t first_shard = 0;  // of this process
  Shard own;                     // its images of the batch
  std::vector<Shard> shards;     // its shards, from its own first image on
};

// Σ_v parts_v [n]: neighbours are added first, then the sums of neighbours, and so on. parts [V,n], which are
// overwritten, and one of which the sum is. Of several processes each gives the parts of its shards, and all get
// the sum.
Tensor add_up(const Tensor& parts, ProcessGroup* processes = nullptr);

// Σ_n over the images of a batch.
class BatchSum {
 public:
  // Of all images at once.
  BatchSum() = default;
  // Of each shard, and of these by add_up; for sums of the shape and kind of `like`.
  BatchSum(const BatchPart& batch, const Tensor& like);

  // sum = factor Σ_n x_n. x [N,…], of the N images of this process; sum […].
  void operator()(Tensor& sum, const Tensor& x, double factor = 1) const;

  // N of the batch, of which x [N,…] is what this process has.
  std::int64_t batch_size(const Tensor& x) const { return batch_ ? batch_->batch_size : x.size(0); }

 private:
  std::optional<BatchPart> batch_;  // none where it has but one shard
  Tensor parts_;                    // [V,n]
};

}  // namespace handgrad
