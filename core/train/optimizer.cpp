// Gradient descent and its relatives.
#include "handgrad/train/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "handgrad/platform/elementwise.h"
#include "handgrad/platform/threads.h"

namespace handgrad {

using Kind = OptimizerOptions::Kind;

const std::vector<std::string>& optimizer_names() {
  static const std::vector<std::string> names = {"sgd", "momentum", "nesterov", "adam", "adamw"};
  return names;
}

OptimizerState OptimizerState::clone() const {
  OptimizerState copy;
  for (const Tensor& buffer : buffers) copy.buffers.push_back(buffer.clone());
  copy.steps = steps;
  return copy;
}

void OptimizerState::copy_from(const OptimizerState& other) {
  for (std::size_t i = 0; i < buffers.size(); ++i) buffers[i].copy_(other.buffers[i]);
  steps = other.steps;
}

void OptimizerState::save(TrainingState& state, const std::string& prefix) const {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    state.tensors[fmt::format("{}optimizer.{}", prefix, i)] = buffers[i];
  }
  state.set(prefix + "optimizer.steps", steps);
}

void OptimizerState::restore(const TrainingState& state, const std::string& prefix) {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    buffers[i].copy_(state.tensor(fmt::format("{}optimizer.{}", prefix, i), buffers[i]));
  }
  steps = state.step(prefix + "optimizer.steps", std::numeric_limits<std::int64_t>::max());
}

namespace {

std::size_t buffer_count(Kind kind) {
  switch (kind) {
    case Kind::sgd:
      return 0;
    case Kind::momentum:
    case Kind::nesterov:
      return 1;
    case Kind::adam:
    case Kind::adamw:
      return 2;
  }
  return 0;
}

}  // namespace

// The update of a range of the flat buffers, which one thread takes.
class Optimizer::Slice {
 public:
  // The parts of flat buffers. rates: one each, undefined where all networks share one.
  struct Tensors {
    Tensor parameters, gradients;
    std::vector<Tensor> buffers;
    Tensor rates;
  };

  // decayed: so many parameters, from the first, have weight decay.
  Slice(const OptimizerOptions& options, Tensors tensors, std::int64_t decayed, double learning_rate,
        bool rate_changes, Counter counter)
      : options_(options),
        parameters_(std::move(tensors.parameters)),
        gradients_(std::move(tensors.gradients)),
        buffers_(std::move(tensors.buffers)),
        learning_rate_(learning_rate),
        learning_rates_(std::move(tensors.rates)) {
    if (rate_changes && counter == Counter::device) {
      if (!learning_rates_.defined()) learning_rates_ = at::full({1}, learning_rate, parameters_.options());
      unchanged_rates_ = learning_rates_.clone();
    }
    if (options.weight_decay != 0) {
      decayed_parameters_ = parameters_.narrow(0, 0, decayed);
      decayed_gradients_ = gradients_.narrow(0, 0, decayed);
      const bool one_each = learning_rates_.defined() && learning_rates_.numel() > 1;
      decayed_rates_ = one_each ? learning_rates_.narrow(0, 0, decayed) : learning_rates_;
    }
    if (options.kind != Kind::adam && options.kind != Kind::adamw) return;
    denominator_ = at::empty_like(parameters_);
    eps_ = at::empty({}, parameters_.options());
    if (counter == Counter::device) steps_ = at::zeros({}, parameters_.options().dtype(at::kDouble));
  }

  // The update number `t`, from 1.
  void step(std::int64_t t) {
    if (options_.weight_decay != 0) decay();
    switch (options_.kind) {
      case Kind::sgd:
        return descend(gradients_);
      case Kind::momentum: {  // b ← μ b + g,  θ ← θ − η b
        Tensor& buffer = buffers_[0];
        add(buffer, gradients_, buffer, options_.momentum);
        return descend(buffer);
      }
      case Kind::nesterov: {  // b ← μ b + g,  θ ← θ − η (g + μ b)
        Tensor& buffer = buffers_[0];
        add(buffer, gradients_, buffer, options_.momentum);
        add(gradients_, gradients_, buffer, options_.momentum);
        return descend(gradients_);
      }
      case Kind::adam:
      case Kind::adamw:
        return steps_.defined() ? adam_counted_on_device() : adam(static_cast<double>(t));
    }
  }

  void set_rate(double factor) {
    if (unchanged_rates_.defined()) {
      learning_rates_.copy_(unchanged_rates_).mul_(factor);
    } else {
      rate_factor_ = factor;
    }
  }

  void set_steps(std::int64_t steps) {
    if (steps_.defined()) steps_.fill_(steps);
  }

 private:
  void decay() {
    if (options_.decouples()) {
      move(decayed_parameters_, decayed_parameters_, decayed_rates_, options_.weight_decay);
    } else {
      add(decayed_gradients_, decayed_gradients_, decayed_parameters_, options_.weight_decay);
    }
  }

  void descend(const Tensor& direction, double scale = 1) {
    move(parameters_, direction, learning_rates_, scale);
  }

  // θ ← θ − scale · η · direction. rates: η, undefined where it is one number on the host.
  void move(Tensor& parameters, const Tensor& direction, const Tensor& rates, double scale) const {
    if (rates.defined()) {
      parameters.addcmul_(direction, rates, -scale * rate_factor_);
    } else {
      add(parameters, parameters, direction, -scale * rate_factor_ * learning_rate_);
    }
  }

  // m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g², and √v in the denominator.
  void update_moments() {
    buffers_[0].lerp_(gradients_, 1 - options_.beta1);
    at::mul_out(denominator_, gradients_, gradients_);
    buffers_[1].lerp_(denominator_, 1 - options_.beta2);
    at::sqrt_out(denominator_, buffers_[1]);
  }

  // Kingma and Ba, 2015, algorithm 1; Loshchilov and Hutter, 2019, algorithm 2. Both corrections are taken
  // out of the fraction: θ ← θ − η m̂ / (√v̂ + ε).
  void adam(double t) {
    update_moments();
    const double correction1 = 1 - std::pow(options_.beta1, t);
    const double correction2 = std::sqrt(1 - std::pow(options_.beta2, t));
    denominator_.add_(eps_.fill_(options_.eps * correction2));
    descend(at::div_out(gradients_, buffers_[0], denominator_), correction2 / correction1);
  }

  // The same with t and all that follows from it in tensors.
  void adam_counted_on_device() {
    update_moments();
    steps_.add_(1);
    const Tensor correction1 = 1 - at::pow(options_.beta1, steps_);
    const Tensor correction2 = (1 - at::pow(options_.beta2, steps_)).sqrt_();
    denominator_.add_(eps_.copy_(correction2 * options_.eps));
    at::div_out(gradients_, buffers_[0], denominator_);
    descend(gradients_.mul_(eps_.copy_(correction2.div(correction1))));
  }

  const OptimizerOptions options_;
  Tensor parameters_, gradients_;
  std::vector<Tensor> buffers_;
  double learning_rate_;
  double rate_factor_ = 1;  // where no tensor below has it
  Tensor learning_rates_;   // one each, or on a device [1]; undefined where the number says it
  Tensor unchanged_rates_;  // of set_rate(1), where a recorded step reads the others
  Tensor decayed_parameters_, decayed_gradients_, decayed_rates_;  // that have weight decay
  Tensor denominator_, eps_;                                       // adam, adamw
  Tensor steps_;  // the count on the device; undefined where the host's is used
};

Optimizer::Optimizer(const OptimizerOptions& options, const Parameters& parameters,
                     const Parameters& gradients, const std::vector<double>& learning_rate, bool rate_changes,
                     Counter counter) {
  const double first_rate = learning_rate.front();
  const auto differs = [&](double rate) { return rate != first_rate; };
  const bool one_rate = std::none_of(learning_rate.begin(), learning_rate.end(), differs);
  const Tensor rates = one_rate ? Tensor() : spread(learning_rate, parameters.views());
  for (std::size_t i = 0; i < buffer_count(options.kind); ++i) {
    state_.buffers.push_back(at::zeros_like(parameters.flat));
  }
  count_ = parameters.flat.numel();
  std::int64_t decayed =
      options.decayed == OptimizerOptions::Decayed::weights ? parameters.weights.numel() : count_;
  const std::vector<Tensor> of_parameters = in_ranges(parameters.flat);
  const std::vector<Tensor> of_gradients = in_ranges(gradients.flat);
  const std::vector<Tensor> of_rates = rates.defined() ? in_ranges(rates) : std::vector<Tensor>();
  std::vector<std::vector<Tensor>> of_buffers;
  for (const Tensor& buffer : state_.buffers) of_buffers.push_back(in_ranges(buffer));
  for (std::size_t range = 0; range < of_parameters.size(); ++range) {
    Slice::Tensors tensors = {of_parameters[range], of_gradients[range], {}, {}};
    if (rates.defined()) tensors.rates = of_rates[range];
    for (const std::vector<Tensor>& buffer : of_buffers) tensors.buffers.push_back(buffer[range]);
    const std::int64_t size = of_parameters[range].numel();
    slices_.push_back(std::make_unique<Slice>(options, std::move(tensors),
                                              std::clamp<std::int64_t>(decayed, 0, size), first_rate,
                                              rate_changes, counter));
    decayed -= size;
  }
}

Optimizer::~Optimizer() = default;

void Optimizer::set_rate(double factor) {
  for (const std::unique_ptr<Slice>& slice : slices_) slice->set_rate(factor);
}

void Optimizer::step(const std::function<void(std::size_t range)>& before) {
  ++state_.steps;
  share_out_ranges_of(count_, static_cast<std::int64_t>(slices_.size()), [&](std::int64_t i) {
    const auto range = static_cast<std::size_t>(i);
    if (before) before(range);
    slices_[range]->step(state_.steps);
  });
}

void Optimizer::set_state(const OptimizerState& state) {
  state_.copy_from(state);
  for (const std::unique_ptr<Slice>& slice : slices_) slice->set_steps(state_.steps);
}

}  // namespace handgrad
