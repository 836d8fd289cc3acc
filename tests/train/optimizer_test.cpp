// The optimizers against torch::optim, over 50 steps of the same gradients.
#include "handgrad/train/optimizer.h"

#include <torch/optim.h>

#include "relative_error.h"
#include "test.h"

using namespace handgrad;

namespace {

std::unique_ptr<torch::optim::Optimizer> reference_optimizer(const OptimizerOptions& options, double rate,
                                                             const torch::Tensor& parameters) {
  using Kind = OptimizerOptions::Kind;
  const std::vector<torch::Tensor> list = {parameters};
  if (options.kind == Kind::adam) {
    return std::make_unique<torch::optim::Adam>(list, torch::optim::AdamOptions(rate)
                                                          .betas({options.beta1, options.beta2})
                                                          .eps(options.eps)
                                                          .weight_decay(options.weight_decay));
  }
  if (options.kind == Kind::adamw) {
    return std::make_unique<torch::optim::AdamW>(list, torch::optim::AdamWOptions(rate)
                                                           .betas({options.beta1, options.beta2})
                                                           .eps(options.eps)
                                                           .weight_decay(options.weight_decay));
  }
  return std::make_unique<torch::optim::SGD>(list,
                                             torch::optim::SGDOptions(rate)
                                                 .momentum(options.kind == Kind::sgd ? 0 : options.momentum)
                                                 .nesterov(options.kind == Kind::nesterov)
                                                 .weight_decay(options.weight_decay));
}

}  // namespace

TEST_CASE("every kind of optimizer has a name", "[optimizer]") {
  CHECK(optimizer_names().size() == 5);
}

TEST_CASE("each optimizer equals torch::optim, with one rate and with rates that change", "[optimizer]") {
  OptimizerOptions options;
  options.kind = static_cast<OptimizerOptions::Kind>(GENERATE(range(0, 5)));
  options.weight_decay = GENERATE(0.0, 0.1);
  const std::vector<double> rates =
      GENERATE(std::vector<double>{0.05, 0.05}, std::vector<double>{0.05, 0.002});
  const auto counter = GENERATE(Optimizer::Counter::host, Optimizer::Counter::device);
  const bool rate_changes = GENERATE(false, true);
  CAPTURE(static_cast<int>(options.kind), options.weight_decay, rates, static_cast<int>(counter),
          rate_changes);

  const Architecture architecture{6, {4, 3}, 5, BatchNormPlace::after};
  Parameters parameters(architecture, 2, torch::kDouble);
  Parameters gradients(architecture, 2, torch::kDouble);
  parameters.flat.normal_();
  auto optimizer = std::make_unique<Optimizer>(options, parameters, gradients, rates, rate_changes, counter);

  std::vector<torch::Tensor> copies;
  std::vector<std::unique_ptr<torch::optim::Optimizer>> references;
  for (std::int64_t r = 0; r < 2; ++r) {
    std::vector<torch::Tensor> parts;
    for (const torch::Tensor& view : parameters.views()) parts.push_back(view[r].flatten());
    copies.push_back(torch::cat(parts).requires_grad_());
    references.push_back(reference_optimizer(options, rates[static_cast<std::size_t>(r)], copies.back()));
  }
  for (int step = 0; step < 50; ++step) {
    const double factor = rate_changes ? 1.0 / (1 + step % 7) : 1;
    optimizer->set_rate(factor);
    for (std::size_t r = 0; r < 2; ++r) {
      references[r]->param_groups()[0].options().set_lr(factor * rates[r]);
    }
    gradients.flat.normal_();
    for (std::size_t r = 0; r < 2; ++r) {
      std::vector<torch::Tensor> parts;
      for (const torch::Tensor& view : gradients.views())
        parts.push_back(view[static_cast<std::int64_t>(r)].flatten());
      copies[r].mutable_grad() = torch::cat(parts);
      references[r]->step();
    }
    if (step == 25) {
      // Another one goes on from its state.
      const OptimizerState state = optimizer->state().clone();
      optimizer = std::make_unique<Optimizer>(options, parameters, gradients, rates, rate_changes, counter);
      optimizer->set_state(state);
    }
    if (step == 25) optimizer->set_rate(factor);
    optimizer->step();
  }
  for (std::int64_t r = 0; r < 2; ++r) {
    std::vector<torch::Tensor> parts;
    for (const torch::Tensor& view : parameters.views()) parts.push_back(view[r].flatten());
    const torch::Tensor& expected = copies[static_cast<std::size_t>(r)];
    CHECK(relative_error(torch::cat(parts), expected) <= 1e-12);
  }
}

TEST_CASE("weight decay is coupled or decoupled, of all parameters or of the weights alone", "[optimizer]") {
  using Kind = OptimizerOptions::Kind;
  OptimizerOptions options;
  options.kind = GENERATE(Kind::sgd, Kind::momentum, Kind::nesterov, Kind::adam, Kind::adamw);
  options.weight_decay = 0.1;
  options.decay = GENERATE(OptimizerOptions::Decay::automatic, OptimizerOptions::Decay::coupled,
                           OptimizerOptions::Decay::decoupled);
  options.decayed = GENERATE(OptimizerOptions::Decayed::all, OptimizerOptions::Decayed::weights);
  const std::vector<double> rates =
      GENERATE(std::vector<double>{0.05, 0.05}, std::vector<double>{0.05, 0.002});
  const auto counter = GENERATE(Optimizer::Counter::host, Optimizer::Counter::device);
  CAPTURE(static_cast<int>(options.kind), static_cast<int>(options.decay), static_cast<int>(options.decayed),
          rates);
  const bool decouples = options.decay == OptimizerOptions::Decay::decoupled ||
                         (options.decay == OptimizerOptions::Decay::automatic && options.kind == Kind::adamw);

  const Architecture architecture{6, {4, 3}, 5, BatchNormPlace::after};
  Parameters parameters(architecture, 2, torch::kDouble);
  Parameters gradients(architecture, 2, torch::kDouble);
  Parameters plain_parameters(architecture, 2, torch::kDouble);
  Parameters plain_gradients(architecture, 2, torch::kDouble);
  parameters.flat.normal_();
  plain_parameters.flat.copy_(parameters.flat);
  // The same optimizer without decay, to whose gradients or parameters the decay is added by hand.
  OptimizerOptions plain_options = options;
  plain_options.weight_decay = 0;
  Optimizer optimizer(options, parameters, gradients, rates, true, counter);
  Optimizer plain(plain_options, plain_parameters, plain_gradients, rates, true, counter);
  const torch::Tensor each_rate = spread(rates, parameters.views());
  const std::int64_t decayed = options.decayed == OptimizerOptions::Decayed::all
                                   ? parameters.flat.numel()
                                   : 2 * architecture.weight_count();
  for (int step = 0; step < 10; ++step) {
    const double factor = 1.0 / (1 + step);
    gradients.flat.normal_();
    plain_gradients.flat.copy_(gradients.flat);
    const torch::Tensor decay = 0.1 * plain_parameters.flat;
    decay.narrow(0, decayed, decay.numel() - decayed).zero_();
    if (decouples) {
      plain_parameters.flat.sub_(factor * each_rate * decay);
    } else {
      plain_gradients.flat.add_(decay);
    }
    optimizer.set_rate(factor);
    plain.set_rate(factor);
    optimizer.step();
    plain.step();
  }
  CHECK((parameters.flat - plain_parameters.flat).norm().item<double>() <= 1e-12);
}
