// Sums over the shards of a batch.
#include "handgrad/nn/shards.h"

#include <fmt/format.h>

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

BatchPart::BatchPart(std::int64_t batch_size, std::int64_t shards, ProcessGroup* processes)
    : batch_size(batch_size), all_shards(shards), processes(processes) {
  const std::vector<Shard> all = cut(batch_size, shards);
  const std::int64_t size = size_of(processes);
  if (shards % size != 0) {
    throw ArgumentError("shards", fmt::format("got {}; must be a multiple of the {} processes, such as {}",
                                              shards, size, (shards / size + 1) * size));
  }
  const std::int64_t each = shards / size;
  first_shard = each * rank_of(processes);
  own.begin = all[static_cast<std::size_t>(first_shard)].begin;
  for (std::int64_t v = first_shard; v < first_shard + each; ++v) {
    const Shard& shard = all[static_cast<std::size_t>(v)];
    this->shards.push_back({shard.begin - own.begin, shard.images});
    own.images += shard.images;
  }
}

namespace {

// Adds to each part, of those that are `from` apart, its neighbour, until those that are `to` apart are left.
void add_neighbours(const Tensor& parts, std::int64_t from, std::int64_t to) {
  const std::int64_t numbers = parts.size(1);
  const std::int64_t ranges = parts.is_cuda() ? 1 : threads_for_numbers(parts.numel());
  share_out_ranges(numbers, numbers / ranges, [&](std::int64_t begin, std::int64_t end) {
    const Tensor range = parts.narrow(1, begin, end - begin);
    for (std::int64_t apart = from; apart < to; apart *= 2) {
      for (std::int64_t v = 0; v + apart < range.size(0); v += 2 * apart) range[v].add_(range[v + apart]);
    }
  });
}

// Every `apart`-th of the parts: of each process those of its shards.
void gather_parts(const Tensor& parts, std::int64_t apart, ProcessGroup& processes) {
  const std::int64_t each = parts.size(0) / processes.size();
  for (std::int64_t v = 0; v < each; v += apart) {
    std::vector<Tensor> of_ranks;
    for (std::int64_t rank = 0; rank < processes.size(); ++rank) of_ranks.push_back(parts[rank * each + v]);
    processes.all_gather(of_ranks);
  }
}

}  // namespace

void add_up(Tensor& sum, const Tensor& parts, ProcessGroup* processes) {
  const std::int64_t shards = parts.size(0);
  std::int64_t apart = 1;
  if (processes != nullptr) {
    // What neighbours of one process amount to is all that the others need of them.
    const std::int64_t each = shards / processes->size();
    while (each % (2 * apart) == 0) apart *= 2;
    add_neighbours(parts.narrow(0, processes->rank() * each, each), 1, apart);
    gather_parts(parts, apart, *processes);
  }
  add_neighbours(parts, apart, shards);
  sum.copy_(parts[0]);
}

BatchSum::BatchSum(const BatchPart& batch, const Tensor& like) {
  if (batch.all_shards == 1) return;
  batch_ = batch;
  parts_ = at::empty({batch.all_shards, like.numel()}, like.options());
}

void BatchSum::operator()(Tensor& sum, const Tensor& x, at::IntArrayRef axes) const {
  if (!batch_) {
    at::sum_out(sum, x, axes);
    return;
  }
  for (std::size_t v = 0; v < batch_->shards.size(); ++v) {
    Tensor part = parts_[batch_->first_shard + static_cast<std::int64_t>(v)].view(sum.sizes());
    at::sum_out(part, batch_->shards[v].of(x), axes);
  }
  Tensor flat = sum.view(-1);
  add_up(flat, parts_, batch_->processes);
}

}  // namespace handgrad
