// The batches of a training set, shuffled anew for each epoch.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "dataset.h"

namespace handgrad {

struct Batch {
  Tensor images;   // [N, inputs], floating, in [0, 1]
  Tensor targets;  // [N, 1, classes], one-hot
};

// The images of an epoch (from 0) in the order in which they are trained on: a permutation of 0 … count − 1
// that is a function of the seed and the epoch alone.
std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t data_seed, std::int64_t epoch);

class Batches {
 public:
  // The examples must outlive the batches, which are of the examples' device and the targets' dtype. The last
  // batch of an epoch holds what is left. reshuffle: whether each epoch has its own order, not that of the
  // first. prefetch: on a CPU, a second thread gathers what comes next while the caller computes; the batches
  // are the same.
  Batches(const Examples& examples, std::int64_t batch_size, std::uint64_t data_seed, bool reshuffle,
          bool prefetch);
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
    Tensor pixels, images, targets;
    std::vector<Batch> batches;
    Batch last;  // of the epoch
  };

  Block make_block() const;
  void fill(Block& block, std::int64_t number);
  void load(std::int64_t number);
  void fill_on_request();

  const Examples& examples_;
  std::int64_t batch_size_;
  std::uint64_t data_seed_;
  bool reshuffle_;
  std::int64_t per_epoch_, last_size_;
  std::int64_t batches_per_block_, blocks_per_epoch_;

  // The order of the epoch that was filled last; whoever fills, fills alone.
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_;
  Tensor order_on_device_;  // on a CPU the same memory

  Block current_, next_;

  std::thread filler_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t wanted_ = -1;  // the number of the block that next_ shall hold; -1: nothing to do
  bool stopping_ = false;
};

}  // namespace handgrad
