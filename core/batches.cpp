// Batches in a seeded order.
#include "batches.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "random.h"
#include "system.h"

namespace handgrad {

namespace {

// In line, little is kept so that it is still in the core's cache when it is used. A second thread is woken,
// and a GPU launched, for a whole block, which costs a few microseconds.
constexpr std::int64_t images_in_line = 128;
constexpr std::int64_t images_ahead = 512;

void shuffle_epoch(std::vector<std::int64_t>& order, std::uint64_t data_seed, std::int64_t epoch) {
  std::iota(order.begin(), order.end(), 0);
  Random(data_seed, Stream::batch_order, static_cast<std::uint64_t>(epoch)).shuffle(order);
}

}  // namespace

std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t data_seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  shuffle_epoch(order, data_seed, epoch);
  return order;
}

Batches::Batches(const Examples& examples, std::int64_t batch_size, std::uint64_t data_seed, bool reshuffle,
                 bool prefetch)
    : examples_(examples),
      batch_size_(batch_size),
      data_seed_(data_seed),
      reshuffle_(reshuffle),
      per_epoch_((examples.count() + batch_size - 1) / batch_size),
      last_size_(examples.count() - (per_epoch_ - 1) * batch_size),
      batches_per_block_(std::clamp<std::int64_t>(
          (prefetch || examples.pixels.is_cuda() ? images_ahead : images_in_line) / batch_size, 1,
          per_epoch_)),
      blocks_per_epoch_((per_epoch_ + batches_per_block_ - 1) / batches_per_block_),
      order_(static_cast<std::size_t>(examples.count())),
      order_on_device_(
          at::from_blob(order_.data(), {examples.count()}, at::kLong).to(examples.pixels.device())),
      current_(make_block()) {
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
  const std::int64_t count = std::min(batches_per_block_ * batch_size_, examples_.count());
  Block block;
  block.pixels = at::empty({count, examples_.pixels.size(1)}, examples_.pixels.options());
  block.images = at::empty(block.pixels.sizes(), examples_.targets.options());
  block.targets = at::empty({count, examples_.targets.size(1)}, examples_.targets.options());
  const auto batch = [&](std::int64_t position, std::int64_t size) {
    const std::int64_t begin = position * batch_size_;
    return Batch{block.images.narrow(0, begin, size), block.targets.narrow(0, begin, size).unsqueeze(1)};
  };
  for (std::int64_t i = 0; (i + 1) * batch_size_ <= count; ++i)
    block.batches.push_back(batch(i, batch_size_));
  block.last = batch((per_epoch_ - 1) % batches_per_block_, last_size_);
  return block;
}

void Batches::fill(Block& block, std::int64_t number) {
  block.number = -1;  // until it is filled
  const std::int64_t epoch = reshuffle_ ? number / blocks_per_epoch_ : 0;
  if (epoch != epoch_) {
    shuffle_epoch(order_, data_seed_, epoch);
    if (order_on_device_.is_cuda()) {
      order_on_device_.copy_(at::from_blob(order_.data(), order_on_device_.sizes(), at::kLong));
    }
    epoch_ = epoch;
  }
  const std::int64_t begin = number % blocks_per_epoch_ * batches_per_block_ * batch_size_;
  const std::int64_t count = std::min(block.pixels.size(0), examples_.count() - begin);
  const Tensor chosen = order_on_device_.narrow(0, begin, count);
  Tensor pixels = block.pixels.narrow(0, 0, count);
  Tensor images = block.images.narrow(0, 0, count);
  Tensor targets = block.targets.narrow(0, 0, count);
  at::index_select_out(pixels, examples_.pixels, 0, chosen);
  at::index_select_out(targets, examples_.targets, 0, chosen);
  scale_pixels(images, pixels);
  block.number = number;
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
    changed_.wait(lock, [this] { return wanted_ < 0; });
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
    const std::int64_t number = wanted_;
    lock.unlock();
    try {
      fill(next_, number);
    } catch (...) {  // NOLINT(bugprone-empty-catch): load() fills the block itself, and meets the failure
    }
    lock.lock();
    wanted_ = -1;
    changed_.notify_all();
  }
}

}  // namespace handgrad
