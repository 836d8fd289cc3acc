// Batches in a seeded order.
#include "handgrad/data/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/base/random.h"
#include "handgrad/data/pixels.h"
#include "handgrad/platform/large_pages.h"
#include "handgrad/platform/threads.h"

namespace handgrad {

namespace {

// In line, little is kept so that it is still in the core's cache when it is used. A second thread is woken,
// and a GPU launched, for a whole block, which costs a few microseconds.
constexpr std::int64_t images_in_line = 128;

}  // namespace

std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t data_seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  Random(data_seed, Stream::batch_order, static_cast<std::uint64_t>(epoch)).shuffle(order);
  return order;
}

namespace {

// Calls `take` with 0 … count − 1 and the chosen row of each. In a loop of ours: rows are most of what a small network's step
// has to move, and lie in the memory in no order that a processor could foresee.
template <typename Number, typename Take>
void take_rows(const Tensor& from, const Tensor& chosen, const Take& take) {
  constexpr std::int64_t cache_line = 64;
  constexpr std::int64_t bytes_ahead = 1024;
  const std::int64_t length = from.size(1);
  const auto bytes = static_cast<std::int64_t>(sizeof(Number)) * length;
  const std::int64_t ahead = std::max<std::int64_t>(bytes_ahead / std::max<std::int64_t>(bytes, 1), 1);
  const auto* const rows = chosen.data_ptr<std::int64_t>();
  const auto* const first = from.data_ptr<Number>();
  const std::int64_t count = chosen.numel();
  const int useful = threads_for_numbers(count * length);
  share_out_ranges(count, (count + useful - 1) / useful, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + ahead < end) {
        const char* const next = reinterpret_cast<const char*>(first + rows[i + ahead] * length);
        for (std::int64_t byte = 0; byte < bytes; byte += cache_line) __builtin_prefetch(next + byte);
      }
      take(i, first + rows[i] * length);
    }
  });
}

// Calls `gather` with a number of the type of what is filled, if a loop can do that: whether it has.
template <typename Gather>
bool by_loop(const Tensor& filled, const Tensor& from, const Gather& gather) {
  if (!filled.is_cpu() || !filled.is_contiguous() || !from.is_contiguous()) return false;
  if (filled.scalar_type() == at::kFloat) return gather(float{}), true;
  if (filled.scalar_type() == at::kDouble) return gather(double{}), true;
  return false;
}

}  // namespace

void gather_images(Tensor& images, const Tensor& room, const Examples& examples, const Tensor& chosen) {
  const std::int64_t inputs = examples.pixels.size(1);
  const auto gather = [&](auto number) {
    auto* const image = images.data_ptr<decltype(number)>();
    take_rows<std::uint8_t>(examples.pixels, chosen, [&](std::int64_t i, const std::uint8_t* pixels) {
      scale_pixels(image + i * inputs, pixels, inputs);
    });
  };
  if (by_loop(images, examples.pixels, gather)) return;
  const Tensor pixels = room.narrow(0, 0, images.size(0));
  Tensor rows = examples.lanes() == 1 ? pixels : pixels.flatten(0, 1);
  at::index_select_out(rows, examples.pixels, 0, chosen.reshape(-1));
  scale_pixels(images, pixels);
}

void gather_targets(Tensor& targets, const Examples& examples, const Tensor& chosen) {
  const std::int64_t copies = examples.lanes() == 1 ? 1 : targets.size(1) / examples.lanes();
  const std::int64_t classes = examples.targets.size(1);
  const auto gather = [&](auto number) {
    using Number = decltype(number);
    auto* const target = targets.data_ptr<Number>();
    take_rows<Number>(examples.targets, chosen, [&](std::int64_t i, const Number* chosen_target) {
      for (std::int64_t copy = i * copies; copy < (i + 1) * copies; ++copy) {
        std::copy_n(chosen_target, classes, target + copy * classes);
      }
    });
  };
  if (by_loop(targets, examples.targets, gather)) return;
  const Tensor of_networks = chosen.reshape({-1, 1}).expand({-1, copies}).reshape(-1);
  Tensor rows = targets.flatten(0, 1);
  at::index_select_out(rows, examples.targets, 0, of_networks);
}

Batches::Batches(const Examples& examples, std::int64_t replicas, std::int64_t batch_size,
                 std::vector<std::uint64_t> data_seeds, bool reshuffle, bool prefetch, AugmentOptions augment,
                 AugmentStrength strength, BatchShare share)
    : examples_(examples),
      replicas_(replicas),
      batch_size_(batch_size),
      data_seeds_(std::move(data_seeds)),
      reshuffle_(reshuffle),
      augment_(augment),
      strength_(std::move(strength)),
      share_(share),
      per_epoch_(batches_per_epoch(examples.count(), batch_size)),
      last_size_(examples.count() - (per_epoch_ - 1) * batch_size),
      batches_per_block_(std::clamp<std::int64_t>(
          (prefetch || examples.pixels.is_cuda() ? most_images_ahead : images_in_line) /
              (batch_size * examples.lanes()),
          1, per_epoch_)),
      blocks_per_epoch_((per_epoch_ + batches_per_block_ - 1) / batches_per_block_),
      order_(at::empty({examples.count()}, at::kLong)) {
  if (augment_.any()) {
    const ImageShape& shape = examples.shape;
    if (shape.rows * shape.columns != examples.pixels.size(1)) {
      throw ArgumentError(
          fmt::format("images of {} pixels cannot be augmented as {} × {}; give Examples::shape",
                      examples.pixels.size(1), shape.rows, shape.columns));
    }
    validate(augment_, shape);
    augmenter_.emplace(examples.shape);
  }
  use_large_pages(examples_.pixels);
  use_large_pages(examples_.targets);
  current_ = make_block();
  if (examples.lanes() > 1) {
    rows_ = examples.rows.to(at::kCPU).contiguous();
    order_ = at::empty({examples.count(), examples.lanes()}, at::kLong);
  }
  order_on_device_ = order_.to(examples.pixels.device());
  if (prefetch && !examples.pixels.is_cuda()) {
    next_ = make_block();
    filler_ = std::thread([this] { fill_on_request(); });
  }
}

Batches::~Batches() {
  if (!filler_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  filler_.join();
}

Batches::Block Batches::make_block() const {
  const std::int64_t rows = share_.most(batch_size_);
  const std::int64_t whole = examples_.count() / batch_size_;  // batches of an epoch
  const std::int64_t count = batches_per_block_ * rows;
  const std::int64_t lanes = examples_.lanes();
  const std::int64_t inputs = examples_.pixels.size(1);
  Block block;
  block.images = at::empty({count, lanes, inputs}, examples_.targets.options());
  if (lanes == 1) block.images = block.images.squeeze(1);
  if (!augmenter_ && examples_.pixels.is_cuda())
    block.pixels = at::empty(block.images.sizes(), examples_.pixels.options());
  block.targets =
      at::empty({count, lanes == 1 ? 1 : replicas_, examples_.targets.size(1)}, examples_.targets.options());
  const auto batch = [&](std::int64_t position, std::int64_t size) {
    const std::int64_t begin = position * rows;
    return Batch{block.images.narrow(0, begin, size), block.targets.narrow(0, begin, size)};
  };
  for (std::int64_t i = 0; i < std::min(batches_per_block_, whole); ++i)
    block.batches.push_back(batch(i, share_.count(batch_size_)));
  block.last = batch((per_epoch_ - 1) % batches_per_block_, share_.count(last_size_));
  return block;
}

void Batches::order_epoch(std::int64_t epoch) {
  const std::int64_t lanes = examples_.lanes();
  const std::int64_t count = examples_.count();
  share_out(lanes, [&](std::int64_t lane) {
    const std::vector<std::int64_t> order =
        epoch_order(count, data_seeds_[static_cast<std::size_t>(lane)], epoch);
    const std::int64_t* rows = rows_.defined() ? rows_.data_ptr<std::int64_t>() + lane * count : nullptr;
    std::int64_t* ordered = order_.data_ptr<std::int64_t>() + lane;
    for (const std::int64_t place : order) {
      *ordered = rows == nullptr ? place : rows[place];
      ordered += lanes;
    }
  });
  // The host's memory is not pinned: it may change again after the call.
  if (order_on_device_.is_cuda()) order_on_device_.copy_(order_, true);
  epoch_ = epoch;
}

void Batches::fill(Block& block, std::int64_t number) {
  block.number = -1;  // until it is filled
  const std::int64_t epoch = number / blocks_per_epoch_;
  const std::int64_t epoch_of_order = reshuffle_ ? epoch : 0;
  if (epoch_of_order != epoch_) order_epoch(epoch_of_order);
  const std::int64_t begin = number % blocks_per_epoch_ * batches_per_block_ * batch_size_;
  const std::int64_t end = std::min(begin + batches_per_block_ * batch_size_, examples_.count());
  if (share_.of == 1) {
    fill(block, epoch, 0, begin, end - begin);
  } else {
    for (std::int64_t first = begin; first < end; first += batch_size_) {
      const std::int64_t size = std::min(batch_size_, end - first);
      const std::int64_t row = (first - begin) / batch_size_ * share_.most(batch_size_);
      fill(block, epoch, row, first + share_.begin(size), share_.count(size));
    }
  }
  block.number = number;
}

void Batches::fill(Block& block, std::int64_t epoch, std::int64_t row, std::int64_t begin,
                   std::int64_t count) {
  const Tensor chosen = order_on_device_.narrow(0, begin, count);
  Tensor images = block.images.narrow(0, row, count);
  Tensor targets = block.targets.narrow(0, row, count);
  gather_targets(targets, examples_, chosen);
  if (augmenter_) {
    const AugmentOptions options = strength_ ? augment_.times(strength_(epoch)) : augment_;
    augmenter_->augment(images, examples_.pixels, chosen, {options, data_seeds_, epoch, begin});
  } else {
    gather_images(images, block.pixels, examples_, chosen);
  }
  standardise(images, examples_.standardisation);
}

const Batch& Batches::at(std::int64_t step) {
  const std::int64_t position = step % per_epoch_;
  const std::int64_t number = step / per_epoch_ * blocks_per_epoch_ + position / batches_per_block_;
  if (number != current_.number) load(number);
  if (position + 1 == per_epoch_) return current_.last;
  return current_.batches[static_cast<std::size_t>(position % batches_per_block_)];
}

void Batches::load(std::int64_t number) {
  if (!filler_.joinable()) return fill(current_, number);
  {
    std::unique_lock<std::mutex> lock(mutex_);
    wanted_ = -1;  // what the filler has not begun is here sooner than it is waited for
    changed_.wait(lock, [this] { return !filling_; });
    if (next_.number != number) fill(next_, number);
    std::swap(current_, next_);
    wanted_ = number + 1;
  }
  changed_.notify_all();
}

void Batches::fill_on_request() {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  set_threads(1);
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || wanted_ >= 0; });
    if (stopping_) return;
    const std::int64_t number = std::exchange(wanted_, -1);
    filling_ = true;
    lock.unlock();
    try {
      fill(next_, number);
    } catch (...) {  // NOLINT(bugprone-empty-catch): load() fills the block itself, and meets the failure
    }
    lock.lock();
    filling_ = false;
    changed_.notify_all();
  }
}

}  // namespace handgrad
