// A batch in shards: runs of its images whose sums are taken apart and then added up in an order that depends
// on their number alone, so that the result has the same bits whoever computed which.
#pragma once

#include <cstdint>
#include <vector>

#include "handgrad/base/tensor.h"

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

// sum = Σ_v parts_v: neighbours are added first, then the sums of neighbours, and so on. parts [V,n], which are
// overwritten; sum [n].
void add_up(Tensor& sum, const Tensor& parts);

// Σ_n over the images of a batch.
class BatchSum {
 public:
  // Of all images at once.
  BatchSum() = default;
  // Of each shard, and of these by add_up; for sums of the shape and kind of `like`.
  BatchSum(std::vector<Shard> shards, const Tensor& like);

  // x [N,…] → sum […].
  void operator()(Tensor& sum, const Tensor& x) const;

 private:
  std::vector<Shard> shards_;  // empty where there is but one
  Tensor parts_;               // [V,n]
};

}  // namespace handgrad
