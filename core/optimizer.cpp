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
                     const Parameters& gradients, const std::vector<double>& learning_rate)
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
      break;
  }
}

// θ ← θ − learning_rate · direction
void Optimizer::descend(const Tensor& direction) {
  if (learning_rates_.defined()) {
    parameters_.addcmul_(direction, learning_rates_, -1);
  } else {
    parameters_.add_(direction, -learning_rate_);
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
      parameters_.mul_(1 - learning_rate_ * options_.weight_decay);
    }
  }
  switch (options_.kind) {
    case Kind::sgd:
      descend(gradients_);
      break;
    case Kind::momentum: {  // b ← μ b + g,  θ ← θ − η b
      Tensor& buffer = state_.buffers[0];
      descend(buffer.mul_(options_.momentum).add_(gradients_));
      break;
    }
    case Kind::nesterov: {  // b ← μ b + g,  θ ← θ − η (g + μ b)
      Tensor& buffer = state_.buffers[0];
      buffer.mul_(options_.momentum).add_(gradients_);
      descend(gradients_.add_(buffer, options_.momentum));
      break;
    }
    case Kind::adam:
    case Kind::adamw: {  // Kingma and Ba, 2015, algorithm 1; Loshchilov and Hutter, 2019, algorithm 2
      Tensor& first_moment = state_.buffers[0];
      Tensor& second_moment = state_.buffers[1];
      const auto t = static_cast<double>(state_.steps);
      const double correction1 = 1 - std::pow(options_.beta1, t);
      const double correction2 = 1 - std::pow(options_.beta2, t);
      first_moment.mul_(options_.beta1).add_(gradients_, 1 - options_.beta1);
      second_moment.mul_(options_.beta2).addcmul_(gradients_, gradients_, 1 - options_.beta2);
      at::sqrt_out(denominator_, second_moment).div_(std::sqrt(correction2)).add_(options_.eps);
      descend(at::div_out(gradients_, first_moment, denominator_).div_(correction1));
      break;
    }
  }
}

}  // namespace handgrad
