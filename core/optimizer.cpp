// Gradient descent and its relatives.
#include "optimizer.h"

#include <algorithm>
#include <cmath>

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

Optimizer::Optimizer(const OptimizerOptions& options, const Parameters& parameters,
                     const Parameters& gradients, const std::vector<double>& learning_rate, Counter counter)
    : options_(options),
      parameters_(parameters.flat),
      gradients_(gradients.flat),
      learning_rate_(learning_rate.front()) {
  const auto differs = [&](double rate) { return rate != learning_rate_; };
  if (std::any_of(learning_rate.begin(), learning_rate.end(), differs)) {
    learning_rates_ = spread(learning_rate, parameters.views());
  }
  switch (options_.kind) {
    case Kind::sgd:
      break;
    case Kind::momentum:
    case Kind::nesterov:
      state_.buffers = {at::zeros_like(parameters_)};
      break;
    case Kind::adam:
    case Kind::adamw:
      state_.buffers = {at::zeros_like(parameters_), at::zeros_like(parameters_)};
      denominator_ = at::empty_like(parameters_);
      eps_ = at::empty({}, parameters_.options());
      if (counter == Counter::device) steps_ = at::zeros({}, parameters_.options().dtype(at::kDouble));
      break;
  }
}

// θ ← θ − scale · learning_rate · direction
void Optimizer::descend(const Tensor& direction, double scale) {
  if (learning_rates_.defined()) {
    parameters_.addcmul_(direction, learning_rates_, -scale);
  } else {
    parameters_.add_(direction, -scale * learning_rate_);
  }
}

void Optimizer::step() {
  ++state_.steps;
  if (options_.weight_decay != 0) {
    if (options_.kind != Kind::adamw) {
      gradients_.add_(parameters_, options_.weight_decay);
    } else if (learning_rates_.defined()) {
      parameters_.addcmul_(parameters_, learning_rates_, -options_.weight_decay);
    } else {
      parameters_.add_(parameters_, -learning_rate_ * options_.weight_decay);
    }
  }
  switch (options_.kind) {
    case Kind::sgd:
      descend(gradients_);
      break;
    case Kind::momentum: {  // b ← μ b + g,  θ ← θ − η b
      Tensor& buffer = state_.buffers[0];
      descend(at::add_out(buffer, gradients_, buffer, options_.momentum));
      break;
    }
    case Kind::nesterov: {  // b ← μ b + g,  θ ← θ − η (g + μ b)
      Tensor& buffer = state_.buffers[0];
      at::add_out(buffer, gradients_, buffer, options_.momentum);
      descend(gradients_.add_(buffer, options_.momentum));
      break;
    }
    case Kind::adam:
    case Kind::adamw:
      steps_.defined() ? adam_step_counted_on_device() : adam_step();
      break;
  }
}

// m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g², and √v in the denominator.
void Optimizer::update_moments() {
  Tensor& first_moment = state_.buffers[0];
  Tensor& second_moment = state_.buffers[1];
  first_moment.lerp_(gradients_, 1 - options_.beta1);
  at::mul_out(denominator_, gradients_, gradients_);
  second_moment.lerp_(denominator_, 1 - options_.beta2);
  at::sqrt_out(denominator_, second_moment);
}

// Kingma and Ba, 2015, algorithm 1; Loshchilov and Hutter, 2019, algorithm 2. Both corrections are taken out
// of the fraction: θ ← θ − η m̂ / (√v̂ + ε).
void Optimizer::adam_step() {
  update_moments();
  const auto t = static_cast<double>(state_.steps);
  const double correction1 = 1 - std::pow(options_.beta1, t);
  const double correction2 = std::sqrt(1 - std::pow(options_.beta2, t));
  denominator_.add_(eps_.fill_(options_.eps * correction2));
  descend(at::div_out(gradients_, state_.buffers[0], denominator_), correction2 / correction1);
}

// The same with t and all that follows from it in tensors.
void Optimizer::adam_step_counted_on_device() {
  update_moments();
  steps_.add_(1);
  const Tensor correction1 = 1 - at::pow(options_.beta1, steps_);
  const Tensor correction2 = (1 - at::pow(options_.beta2, steps_)).sqrt_();
  denominator_.add_(eps_.copy_(correction2 * options_.eps));
  at::div_out(gradients_, state_.buffers[0], denominator_);
  descend(gradients_.mul_(eps_.copy_(correction2.div(correction1))));
}

void Optimizer::set_state(const OptimizerState& state) {
  state_.copy_from(state);
  if (steps_.defined()) steps_.fill_(state_.steps);
}

}  // namespace handgrad
