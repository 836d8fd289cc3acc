// The oracle of the gradient tests: the network written a second time, one network at a time, with PyTorch's
// functional operations and differentiated by autograd. It shares no code with the library's forward pass.
#pragma once

#include <vector>

#include "network.h"
#include "test.h"

namespace handgrad::reference {

enum class Statistics { differentiated, constant };

struct Network {
  std::vector<torch::Tensor> weight, bias, gamma, beta;  // leaves that require gradients

  std::vector<torch::Tensor> leaves() const {
    std::vector<torch::Tensor> all;
    for (const auto* part : {&weight, &bias, &gamma, &beta})
      all.insert(all.end(), part->begin(), part->end());
    return all;
  }
};

inline std::vector<torch::Tensor> leaves_of(const std::vector<torch::Tensor>& tensors, int64_t replica) {
  std::vector<torch::Tensor> leaves;
  for (const torch::Tensor& tensor : tensors) {
    leaves.push_back(tensor.select(0, replica).detach().clone().requires_grad_());
  }
  return leaves;
}

inline Network copy_of(const Parameters& parameters, int64_t replica) {
  return {leaves_of(parameters.weight, replica), leaves_of(parameters.bias, replica),
          leaves_of(parameters.gamma, replica), leaves_of(parameters.beta, replica)};
}

inline torch::Tensor batch_norm(const torch::Tensor& x, const torch::Tensor& gamma, const torch::Tensor& beta,
                                Statistics statistics) {
  namespace F = torch::nn::functional;
  if (statistics == Statistics::differentiated) {
    return F::batch_norm(x, torch::Tensor(), torch::Tensor(),
                         F::BatchNormFuncOptions().weight(gamma).bias(beta).training(true).eps(1e-5));
  }
  const torch::Tensor mean = x.mean(0).detach();
  const torch::Tensor variance = x.var(0, false).detach();
  return (x - mean) / (variance + 1e-5).sqrt() * gamma + beta;
}

inline torch::Tensor logits(const Network& network, torch::Tensor x,
                            Statistics statistics = Statistics::differentiated) {
  namespace F = torch::nn::functional;
  const size_t layers = network.weight.size();
  for (size_t l = 0; l < layers; ++l) {
    x = F::linear(x, network.weight[l], network.bias[l]);
    if (l + 1 == layers) break;
    x = F::relu(x);
    if (!network.gamma.empty()) x = batch_norm(x, network.gamma[l], network.beta[l], statistics);
  }
  return x;
}

// ∂(cross entropy + (λ/2m) Σ‖W‖²)/∂leaf for each leaf, in the order of leaves().
inline std::vector<torch::Tensor> gradients(const Network& network, const torch::Tensor& x,
                                            const torch::Tensor& labels, double l2,
                                            Statistics statistics = Statistics::differentiated) {
  torch::Tensor loss = torch::nn::functional::cross_entropy(logits(network, x, statistics), labels);
  for (const torch::Tensor& weight : network.weight) {
    loss = loss + l2 / (2.0 * static_cast<double>(x.size(0))) * weight.square().sum();
  }
  return torch::autograd::grad({loss}, network.leaves());
}

}  // namespace handgrad::reference
