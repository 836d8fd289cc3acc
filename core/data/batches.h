// The batches of a training set, shuffled anew for each epoch.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "handgrad/data/augment.h"
#include "handgrad/data/dataset.h"

namespace handgrad {

// Images that are gathered at once, of all lanes together; at least a batch of each is.
constexpr std::int64_t most_images_ahead = 512;

// N images of a batch: all of it, or a share.
struct Batch {
  Tensor images;   // [N, inputs], floating, as networks see them; with K lanes [N, K, inputs]
  Tensor targets;  // [N, 1, classes], one-hot; with lanes [N, R, classes]
};

// One of several equal shares of every batch, in the order of its images.
struct BatchShare {
  std::int64_t index = 0;
  std::int64_t of = 1;

  // Of a batch of so many images: its first, and how many.
  std::int64_t begin(std::int64_t images) const { return images * index / of; }
  std::int64_t count(std::int64_t images) const { return images * (index + 1) / of - begin(images); }
  // The most that a share of so many has, or of fewer: that of the last batch can be larger than of a whole one.
  std::int64_t most(std::int64_t images) const { return (images + of - 1) / of; }
};

// The last batch of an epoch holds what is left.
constexpr std::int64_t batches_per_epoch(std::int64_t images, std::int64_t batch_size) {
  return (images + batch_size - 1) / batch_size;
}

// The images of an epoch (from 0) in the order in which they are trained on: a permutation of 0 … count − 1
// that is a function of the seed and the epoch alone.
std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t data_seed, std::int64_t epoch);

// The chosen of the examples' images, [N, inputs] and 0 … 1, and their targets [N, 1, classes]; with K lanes `chosen`
// is [N, K], and the networks of a lane get a copy of its targets each: [N, K, inputs], [N, R, classes]. room:
// for at least as many images as bytes, which a GPU gathers first; nobody else needs it. On a CPU `chosen` and the
// examples' pixels are contiguous, and `images` float32 or float64.
void gather_images(Tensor& images, const Tensor& room, const Examples& examples, const Tensor& chosen);
void gather_targets(Tensor& targets, const Examples& examples, const Tensor& chosen);

class Batches {
 public:
  // For so many networks side by side. The examples must outlive the batches, which are of the examples'
  // device and the targets' dtype. The last batch of an epoch holds what is left. data_seeds: one per lane.
  // reshuffle: whether each epoch has its own order, not that of the first. prefetch: on a CPU, a second
  // thread gathers what comes next while the caller computes; the batches are the same. augment: how far each
  // image is changed, anew in each epoch. share: what is gathered of each batch. Throws what validate
  // throws for augment and the shape of the images.
  Batches(const Examples& examples, std::int64_t replicas, std::int64_t batch_size,
          std::vector<std::uint64_t> data_seeds, bool reshuffle, bool prefetch, AugmentOptions augment = {},
          AugmentStrength strength = {}, BatchShare share = {});
  ~Batches();
  Batches(const Batches&) = delete;
  Batches& operator=(const Batches&) = delete;

  std::int64_t per_epoch() const { return per_epoch_; }
  std::int64_t last_size() const { return last_size_; }

  // The batch of a step (from 0, through all epochs), good until the next call.
  const Batch& at(std::int64_t step);

 private:
  // Several batches that are gathered at once, so that the overhead is paid once for all of them.
  struct Block {
    std::int64_t number = -1;  // through all epochs
    Tensor pixels;             // of a GPU that does not augment
    Tensor images, targets;
    std::vector<Batch> batches;
    Batch last;  // of the epoch
  };

  Block make_block() const;
  void order_epoch(std::int64_t epoch);
  void fill(Block& block, std::int64_t number);
  // Rows of the block, from `row` on, with the images at the positions from `begin` on.
  void fill(Block& block, std::int64_t epoch, std::int64_t row, std::int64_t begin, std::int64_t count);
  void load(std::int64_t number);
  void fill_on_request();

  const Examples& examples_;
  std::int64_t replicas_, batch_size_;
  std::vector<std::uint64_t> data_seeds_;
  bool reshuffle_;
  AugmentOptions augment_;
  AugmentStrength strength_;
  std::optional<Augmenter> augmenter_;
  BatchShare share_;
  std::int64_t per_epoch_, last_size_;
  std::int64_t batches_per_block_, blocks_per_epoch_;

  // The order of the epoch that was filled last, as rows of the examples' images; whoever fills, fills alone.
  std::int64_t epoch_ = -1;
  Tensor rows_;             // the examples' rows, on the CPU
  Tensor order_;            // [images], with K lanes [images, K]; on the CPU
  Tensor order_on_device_;  // on a CPU the same memory

  Block current_, next_;

  std::thread filler_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t wanted_ = -1;  // the number of the block that next_ shall hold; -1: nothing to begin
  bool filling_ = false;
  bool stopping_ = false;
};

}  // namespace handgrad
