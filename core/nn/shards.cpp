// Sums over the shards of a batch.
#include "handgrad/nn/shards.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"
#include "handgrad/platform/products.h"
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

bool is_power_of_two(std::int64_t n) {
  return (n & (n - 1)) == 0;
}

// Whether it takes less time to pass all numbers in one message than halves of them in two: for two processes
// always, for more where the messages cost more than the numbers.
bool takes_whole(std::int64_t numbers, const ProcessGroup& processes) {
  constexpr std::int64_t few_numbers = std::int64_t{1} << 16;
  return processes.size() == 2 || numbers < few_numbers;
}

// The sums of add_neighbours, of a part of each process: all get them in `part`. room: for as many.
void add_up_whole(const Tensor& part, const Tensor& room, ProcessGroup& processes) {
  for (int apart = 1; apart < processes.size(); apart *= 2) {
    processes.swap(processes.rank() ^ apart, part, room);
    part.add_(room);
  }
}

// The same: neighbours halve the numbers, each adds up its half, and the halves come back (Thakur, Rabenseifner
// and Gropp, 2005, section 4.4), so that a process sends about twice what it has, however many there are.
void add_up_in_halves(const Tensor& part, const Tensor& room, ProcessGroup& processes) {
  struct Halves {
    int neighbour;
    Tensor kept, given;
  };
  std::vector<Halves> halvings;
  Tensor kept = part;
  for (int apart = 1; apart < processes.size(); apart *= 2) {
    const int neighbour = processes.rank() ^ apart;
    const std::int64_t lower = kept.size(0) / 2;
    const Tensor first = kept.narrow(0, 0, lower);
    const Tensor second = kept.narrow(0, lower, kept.size(0) - lower);
    const bool keeps_first = processes.rank() < neighbour;
    kept = keeps_first ? first : second;
    halvings.push_back({neighbour, kept, keeps_first ? second : first});
    const Tensor space = room.narrow(0, 0, kept.size(0));
    processes.swap(neighbour, halvings.back().given, space);
    kept.add_(space);
  }
  for (auto halves = halvings.rbegin(); halves != halvings.rend(); ++halves) {
    processes.swap(halves->neighbour, halves->kept, halves->given);
  }
}

}  // namespace

Tensor add_up(const Tensor& parts, ProcessGroup* processes) {
  const std::int64_t shards = parts.size(0);
  if (processes == nullptr) {
    add_neighbours(parts, 1, shards);
    return parts[0];
  }
  // What neighbours of one process amount to is all that the others need of them.
  const std::int64_t each = shards / processes->size();
  std::int64_t apart = 1;
  while (each % (2 * apart) == 0) apart *= 2;
  const std::int64_t own = processes->rank() * each;
  add_neighbours(parts.narrow(0, own, each), 1, apart);
  const bool can_swap = parts.is_cpu() && is_power_of_two(processes->size());
  if (apart == each && can_swap) {
    Tensor part = parts[own];
    const Tensor room = parts[(own + each) % shards];  // of a shard that another process has
    if (takes_whole(part.numel(), *processes)) {
      add_up_whole(part, room, *processes);
    } else {
      add_up_in_halves(part, room, *processes);
    }
    return part;
  }
  gather_parts(parts, apart, *processes);
  add_neighbours(parts, apart, shards);
  return parts[0];
}

BatchSum::BatchSum(const BatchPart& batch, const Tensor& like) {
  if (batch.all_shards == 1) return;
  batch_ = batch;
  parts_ = at::empty({batch.all_shards, like.numel()}, like.options());
}

void BatchSum::operator()(Tensor& sum, const Tensor& x, double factor) const {
  if (!batch_) {
    add_rows(sum, x, factor);
    return;
  }
  for (std::size_t v = 0; v < batch_->shards.size(); ++v) {
    const Tensor part = parts_[batch_->first_shard + static_cast<std::int64_t>(v)];
    add_rows(part.view(sum.sizes()), batch_->shards[v].of(x), factor);
  }
  sum.view(-1).copy_(add_up(parts_, batch_->processes));
}

}  // namespace handgrad
