// The network a second time, for the gradient checks.
#include "reference.h"

#include <torch/torch.h>

#include "network.h"

namespace handgrad {

namespace {

namespace F = torch::nn::functional;

std::vector<Tensor> leaves_of(const std::vector<Tensor>& tensors, int64_t replica) {
  std::vector<Tensor> leaves;
  for (const Tensor& tensor : tensors) {
    leaves.push_back(tensor.select(0, replica).detach().to(torch::kDouble, false, true).requires_grad_());
  }
  return leaves;
}

}  // namespace

ReferenceNetwork::ReferenceNetwork(const Parameters& parameters, int64_t replica)
    : weight_(leaves_of(parameters.weight, replica)),
      bias_(leaves_of(parameters.bias, replica)),
      gamma_(leaves_of(parameters.gamma, replica)),
      beta_(leaves_of(parameters.beta, replica)) {}

Tensor ReferenceNetwork::logits(const Tensor& x, Statistics statistics) const {
  Tensor features = x;
  for (size_t l = 0; l < weight_.size(); ++l) {
    features = F::linear(features, weight_[l], bias_[l]);
    if (l + 1 == weight_.size()) break;
    features = F::relu(features);
    if (gamma_.empty()) continue;
    if (statistics == Statistics::differentiated) {
      const auto options = F::BatchNormFuncOptions().weight(gamma_[l]).bias(beta_[l]).training(true);
      features =
          F::batch_norm(features, Tensor(), Tensor(), F::BatchNormFuncOptions(options).eps(batch_norm_eps));
    } else {
      const Tensor mean = features.mean(0).detach();
      const Tensor variance = features.var(0, false).detach();
      features = (features - mean) / (variance + batch_norm_eps).sqrt() * gamma_[l] + beta_[l];
    }
  }
  return features;
}

Tensor ReferenceNetwork::loss(const Tensor& x, const Tensor& labels, double l2, Statistics statistics) const {
  Tensor sum = F::cross_entropy(logits(x, statistics), labels);
  const double factor = l2 / (2.0 * static_cast<double>(x.size(0)));
  for (const Tensor& weight : weight_) sum = sum + factor * weight.square().sum();
  return sum;
}

std::vector<Tensor> ReferenceNetwork::gradients(const Tensor& x, const Tensor& labels, double l2,
                                                Statistics statistics) const {
  const torch::AutoGradMode with_gradients(true);
  std::vector<Tensor> leaves;
  for (const auto* part : {&weight_, &bias_, &gamma_, &beta_}) {
    leaves.insert(leaves.end(), part->begin(), part->end());
  }
  return torch::autograd::grad({loss(x, labels, l2, statistics)}, leaves);
}

}  // namespace handgrad
