// Sums over the shards of a batch.
#include "handgrad/nn/shards.h"

#include <fmt/format.h>

#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/platform/threads.h"

namespace handgrad {

std::vector<Shard> cut(std::int64_t batch_size, std::int64_t shards) {
  if (shards < 1) throw ArgumentError(fmt::format("got {} shards of a batch; must be at least 1", shards));
  std::vector<Shard> all;
  for (std::int64_t v = 0; v < shards; ++v) {
    const std::int64_t begin = batch_size * v / shards;
    all.push_back({begin, batch_size * (v + 1) / shards - begin});
  }
  return all;
}

void add_up(Tensor& sum, const Tensor& parts) {
  const std::int64_t shards = parts.size(0);
  const std::int64_t numbers = parts.size(1);
  const std::int64_t ranges = parts.is_cuda() ? 1 : threads_for_numbers(parts.numel());
  share_out_ranges(numbers, numbers / ranges, [&](std::int64_t begin, std::int64_t end) {
    const Tensor part = parts.narrow(1, begin, end - begin);
    for (std::int64_t apart = 1; apart < shards; apart *= 2) {
      for (std::int64_t v = 0; v + apart < shards; v += 2 * apart) part[v].add_(part[v + apart]);
    }
    sum.narrow(0, begin, end - begin).copy_(part[0]);
  });
}

BatchSum::BatchSum(std::vector<Shard> shards, const Tensor& like) {
  if (shards.size() == 1) return;
  shards_ = std::move(shards);
  parts_ = at::empty({static_cast<std::int64_t>(shards_.size()), like.numel()}, like.options());
}

void BatchSum::operator()(Tensor& sum, const Tensor& x) const {
  if (shards_.empty()) {
    at::sum_out(sum, x, 0);
    return;
  }
  for (std::size_t v = 0; v < shards_.size(); ++v) {
    Tensor part = parts_[static_cast<std::int64_t>(v)].view(sum.sizes());
    at::sum_out(part, shards_[v].of(x), 0);
  }
  Tensor flat = sum.view(-1);
  add_up(flat, parts_);
}

}  // namespace handgrad
