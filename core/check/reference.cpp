// The network a second time, for the gradient checks.
#include "handgrad/check/reference.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <cmath>

namespace handgrad {

namespace {

namespace F = torch::nn::functional;

constexpr int shakes = 4;

std::vector<Tensor> leaves_of(const std::vector<Tensor>& tensors, std::int64_t replica) {
  std::vector<Tensor> leaves;
  for (const Tensor& tensor : tensors) {
    leaves.push_back(tensor.select(0, replica).detach().to(torch::kDouble, false, true).requires_grad_());
  }
  return leaves;
}

}  // namespace

Tensor reference_activation(Activation activation, const Tensor& x) {
  switch (activation) {
    case Activation::relu:
      return F::relu(x);
    case Activation::leaky_relu:
      return F::leaky_relu(x);
    case Activation::tanh:
      return at::tanh(x);
  }
  return {};
}

Tensor side_of_kink(Activation activation, const Tensor& y) {
  switch (activation) {
    case Activation::relu:
    case Activation::leaky_relu:
      return y.gt(0);
    case Activation::tanh:
      return at::empty({0}, y.options().dtype(at::kBool));
  }
  return {};
}

bool is_homogeneous(Activation activation) {
  switch (activation) {
    case Activation::relu:
    case Activation::leaky_relu:
      return true;
    case Activation::tanh:
      return false;
  }
  return false;
}

ReferenceNetwork::ReferenceNetwork(const Architecture& architecture, const Parameters& parameters,
                                   std::int64_t replica, double eps, Regularisation regularisation)
    : layers_(architecture.layers()),
      weight_(leaves_of(parameters.weight, replica)),
      bias_(leaves_of(parameters.bias, replica)),
      gamma_(leaves_of(parameters.gamma, replica)),
      beta_(leaves_of(parameters.beta, replica)),
      eps_(eps),
      regularisation_(std::move(regularisation)) {}

Tensor ReferenceNetwork::input_of(std::size_t linear, const Tensor& features) const {
  const std::vector<Tensor>& masks = regularisation_.masks;
  return linear < masks.size() && masks[linear].defined() ? features * masks[linear] : features;
}

// Parts of as many images, as far as that goes: the first and the last of one are as far on as its number says.
Tensor ReferenceNetwork::part_by_part(const Tensor& features,
                                      const std::function<Tensor(const Tensor&)>& normalise) const {
  const std::int64_t parts = regularisation_.normalised_parts;
  const std::int64_t images = features.size(0);
  std::vector<Tensor> normalised;
  for (std::int64_t p = 0; p < parts; ++p) {
    normalised.push_back(normalise(features.slice(0, images * p / parts, images * (p + 1) / parts)));
  }
  return at::cat(normalised);
}

Tensor ReferenceNetwork::logits(const Tensor& x) const {
  Tensor features = x;
  for (const LayerSpec& layer : layers_) {
    const auto l = static_cast<std::size_t>(layer.index);
    switch (layer.kind) {
      case LayerSpec::Kind::linear:
        features = F::linear(input_of(l, features), weight_[l], bias_[l]);
        break;
      case LayerSpec::Kind::activation:
        features = reference_activation(layer.activation, features);
        break;
      case LayerSpec::Kind::batch_norm: {
        const auto options =
            F::BatchNormFuncOptions().weight(gamma_[l]).bias(beta_[l]).training(true).eps(eps_);
        features = part_by_part(
            features, [&](const Tensor& part) { return F::batch_norm(part, Tensor(), Tensor(), options); });
        break;
      }
    }
  }
  return features;
}

Tensor ReferenceNetwork::loss(const Tensor& x, const Tensor& labels, double l2) const {
  const auto options = F::CrossEntropyFuncOptions().label_smoothing(regularisation_.label_smoothing);
  Tensor sum = F::cross_entropy(logits(x), labels, options);
  const double factor = l2 / (2.0 * static_cast<double>(x.size(0)));
  for (const Tensor& weight : weight_) sum = sum + factor * weight.square().sum();
  return sum;
}

std::vector<Tensor> ReferenceNetwork::gradients(const Tensor& x, const Tensor& labels, double l2) const {
  const torch::AutoGradMode with_gradients(true);
  return torch::autograd::grad({loss(x, labels, l2)}, leaves());
}

// The same loss, written so that each operation stands alone: `shake` changes its result and the gradient
// that comes back to it. The two parts of p − targets are shaken apart.
Tensor ReferenceNetwork::shaken_loss(const Tensor& x, const Tensor& targets, double l2,
                                     const Shake& shake) const {
  Tensor features = x;
  for (const LayerSpec& layer : layers_) {
    const auto l = static_cast<std::size_t>(layer.index);
    switch (layer.kind) {
      case LayerSpec::Kind::linear:
        features = shake(F::linear(input_of(l, features), shake(weight_[l]), shake(bias_[l])));
        break;
      case LayerSpec::Kind::activation:
        features = reference_activation(layer.activation, features);
        break;
      case LayerSpec::Kind::batch_norm:
        features = part_by_part(features, [&](const Tensor& part) {
          const Tensor mean = part.mean(0);
          const Tensor centred = shake(part - shake(mean));
          // Σ (x − μ) is 0, so that no gradient flows through this μ; the common formula for dx builds on that.
          const Tensor deviations = part - shake(mean.detach());
          const Tensor variance = shake(shake(deviations.square()).mean(0));
          const Tensor x_hat = shake(centred * shake((variance + eps_).rsqrt()));
          return shake(shake(x_hat * shake(gamma_[l])) + shake(beta_[l]));
        });
        break;
    }
  }
  Tensor sum = (shake(features).logsumexp(1) - (targets * shake(features)).sum(1)).mean();
  const double factor = l2 / (2.0 * static_cast<double>(x.size(0)));
  for (const Tensor& weight : weight_) sum = sum + factor * shake(weight).square().sum();
  return sum;
}

std::vector<double> ReferenceNetwork::rounding(const Tensor& x, const Tensor& labels, double l2, double unit,
                                               std::uint64_t seed) const {
  const torch::AutoGradMode with_gradients(true);
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const Shake shake = [&](const Tensor& tensor) {
    const auto error = [&] {
      return at::randn(tensor.sizes(), generator, at::kDouble).mul_(unit).to(tensor.device());
    };
    const Tensor of_gradient = error();
    const Tensor of_value = error();
    return tensor * (1 + of_gradient) + tensor.detach() * (of_value - of_gradient);
  };
  Tensor targets = at::one_hot(labels, weight_.back().size(0)).to(at::kDouble);
  const double smoothing = regularisation_.label_smoothing;
  targets = (1 - smoothing) * targets + smoothing / static_cast<double>(targets.size(1));
  const auto exact = gradients(x, labels, l2);
  std::vector<double> squares(exact.size(), 0.0);
  for (int i = 0; i < shakes; ++i) {
    const auto shaken = torch::autograd::grad({shaken_loss(x, targets, l2, shake)}, leaves());
    for (std::size_t t = 0; t < exact.size(); ++t) {
      squares[t] += ((shaken[t] - exact[t]) / unit).square().sum().item<double>();
    }
  }
  std::vector<double> norms;
  for (const double square : squares) norms.push_back(std::sqrt(square / shakes));
  return norms;
}

std::vector<Tensor> ReferenceNetwork::leaves() const {
  std::vector<Tensor> all;
  for (const auto* part : {&weight_, &bias_, &gamma_, &beta_})
    all.insert(all.end(), part->begin(), part->end());
  return all;
}

}  // namespace handgrad
