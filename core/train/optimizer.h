// Plain gradient descent and its relatives, over flat buffers, with PyTorch's definitions (torch.optim).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "handgrad/nn/parameters.h"
#include "handgrad/train/training_state.h"

namespace handgrad {

struct OptimizerOptions {
  enum class Kind { sgd, momentum, nesterov, adam, adamw };

  Kind kind = Kind::sgd;
  double momentum = 0.9;  // of momentum and nesterov
  double beta1 = 0.9;     // of adam and adamw
  double beta2 = 0.999;   // of adam and adamw
  double eps = 1e-8;      // of adam and adamw
  // How weight decay changes the parameters: coupled, by its gradient, which is added to that of the loss;
  // decoupled, by η times it apart from the loss (Loshchilov and Hutter, 2019). automatic: decoupled with
  // adamw, else coupled.
  enum class Decay { automatic, coupled, decoupled };
  enum class Decayed { all, weights };

  double weight_decay = 0.0;
  Decay decay = Decay::automatic;
  Decayed decayed = Decayed::all;

  bool decouples() const {
    return decay == Decay::decoupled || (decay == Decay::automatic && kind == Kind::adamw);
  }
};

// "sgd", "momentum", …: the names of the kinds, in their order.
const std::vector<std::string>& optimizer_names();

// What an optimizer remembers from step to step.
struct OptimizerState {
  std::vector<Tensor> buffers;
  std::int64_t steps = 0;

  OptimizerState clone() const;
  void copy_from(const OptimizerState& other);

  // As "optimizer.steps", "optimizer.0", … behind the prefix. restore throws ModelError for the state of
  // another optimizer.
  void save(TrainingState& state, const std::string& prefix) const;
  void restore(const TrainingState& state, const std::string& prefix);
};

class Optimizer {
 public:
  // Where the number of steps is that Adam's corrections depend on. On the device of the parameters an update
  // is the same launches every time, and can be recorded; on the host it takes fewer operations.
  enum class Counter { host, device };

  // learning_rate: one value per network, [R]; rate_changes: whether set_rate will be called with another
  // factor than 1. The buffers must outlive the optimizer. Threads share a large update among themselves,
  // which changes no bit of it.
  Optimizer(const OptimizerOptions& options, const Parameters& parameters, const Parameters& gradients,
            const std::vector<double>& learning_rate, bool rate_changes = false)
      : Optimizer(options, parameters, gradients, learning_rate, rate_changes,
                  parameters.flat.is_cuda() ? Counter::device : Counter::host) {}
  Optimizer(const OptimizerOptions& options, const Parameters& parameters, const Parameters& gradients,
            const std::vector<double>& learning_rate, bool rate_changes, Counter counter);
  ~Optimizer();

  // From here on all learning rates are multiplied with this. A recorded step reads it when it is launched.
  void set_rate(double factor);

  // One update of all parameters from the gradients of this step. May change the gradient buffer. before: what is
  // still to be done to each range of the gradients, by its number in in_ranges, while it is in the cache.
  void step(const std::function<void(std::size_t range)>& before = {});

  // Counts a step that was taken by launches recorded from step().
  void count_step() { ++state_.steps; }

  const OptimizerState& state() const { return state_; }
  void set_state(const OptimizerState& state);

 private:
  class Slice;

  OptimizerState state_;  // buffers: momentum and nesterov 1, adam and adamw the first and the second moment
  std::int64_t count_ = 0;                      // of the parameters
  std::vector<std::unique_ptr<Slice>> slices_;  // in_ranges
};

}  // namespace handgrad
