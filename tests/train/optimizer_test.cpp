// The optimizers against torch::optim, over 50 steps of the same gradients.
#include "handgrad/train/optimizer.h"

#include <torch/optim.h>

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

TEST_CASE("each optimizer equals torch::optim", "[optimizer]") {
  OptimizerOptions options;
  options.kind = static_cast<OptimizerOptions::Kind>(GENERATE(range(0, 5)));
  options.weight_decay = GENERATE(0.0, 0.1);
  const std::vector<double> rates =
      GENERATE(std::vector<double>{0.05, 0.05}, std::vector<double>{0.05, 0.002});
  const auto counter = GENERATE(Optimizer::Counter::host, Optimizer::Counter::device);
  CAPTURE(static_cast<int>(options.kind), options.weight_decay, rates, static_cast<int>(counter));

  const Architecture architecture{6, {4, 3}, 5, true};
  Parameters parameters(architecture, 2, torch::kDouble);
  Parameters gradients(architecture, 2, torch::kDouble);
  parameters.flat.normal_();
  auto optimizer = std::make_unique<Optimizer>(options, parameters, gradients, rates, counter);

  std::vector<torch::Tensor> copies;
  std::vector<std::unique_ptr<torch::optim::Optimizer>> references;
  for (std::int64_t r = 0; r < 2; ++r) {
    std::vector<torch::Tensor> parts;
    for (const torch::Tensor& view : parameters.views()) parts.push_back(view[r].flatten());
    copies.push_back(torch::cat(parts).requires_grad_());
    references.push_back(reference_optimizer(options, rates[static_cast<std::size_t>(r)], copies.back()));
  }
  for (int step = 0; step < 50; ++step) {
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
      optimizer = std::make_unique<Optimizer>(options, parameters, gradients, rates, counter);
      optimizer->set_state(state);
    }
    optimizer->step();
  }
  for (std::int64_t r = 0; r < 2; ++r) {
    std::vector<torch::Tensor> parts;
    for (const torch::Tensor& view : parameters.views()) parts.push_back(view[r].flatten());
    const torch::Tensor& expected = copies[static_cast<std::size_t>(r)];
    CHECK(((torch::cat(parts) - expected).norm() / expected.norm()).item<double>() <= 1e-12);
  }
}
