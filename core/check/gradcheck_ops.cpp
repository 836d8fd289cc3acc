// The gradient checks of every pair by itself.
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "handgrad/check/gradcheck_judge.h"
#include "handgrad/check/reference.h"

namespace handgrad {

namespace {

namespace F = torch::nn::functional;

std::vector<Tensor> as_leaves(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) leaves.push_back(input.clone().requires_grad_());
  return leaves;
}

std::vector<Tensor> differentiate(const Tensor& dy, const std::vector<Tensor>& leaves,
                                  const std::function<Tensor()>& y) {
  const torch::AutoGradMode with_gradients(true);
  return torch::autograd::grad({y()}, leaves, {dy});
}

// ⟨dy, y⟩ of all networks together.
Differentiable upstream(const Tensor& dy, const std::function<Tensor()>& y) {
  return {[y]() -> Differentiable::Value { return {y().view({-1, 1}), {}}; }, dy.reshape({-1, 1})};
}

// terms: the norm of those that the gradient is the sum of, where it may be far smaller than they are.
Claim claim(const std::string& pair, const char* tensor, const Tensor& input, const Tensor& gradient,
            const Tensor& expected, double terms = 0) {
  const double norm = norm_of(expected);
  return {pair, tensor, input, gradient, expected, norm, std::max(norm, terms), false};
}

// The norm of all products a_ij b_jk.
double norm_of_products(const Tensor& a, const Tensor& b) {
  return a.square().mm(b.square()).sum().sqrt().item<double>();
}

void check_linear(Judge& judge, std::int64_t in, std::int64_t out) {
  const std::int64_t batch_size = judge.options().batch_size;
  const Tensor x = judge.random_input({batch_size, in});
  const Tensor weight = judge.random_input({out, in});
  const Tensor bias = judge.random_input({out});
  const Tensor dy = judge.random_input({batch_size, out});
  const std::vector<Tensor> leaves = as_leaves({x, weight, bias});
  const auto expected = differentiate(dy, leaves, [&] { return F::linear(leaves[0], leaves[1], leaves[2]); });

  Tensor dx = judge.output(x);
  Tensor dweight = judge.output(weight);
  Tensor dbias = judge.output(bias);
  const GradcheckSubject& subject = judge.options().subject;
  subject.linear_backward(&dx, &dweight, judge.checked(dy), judge.checked(x), judge.checked(weight));
  subject.bias_backward(dbias, judge.checked(dy));

  const Differentiable function = upstream(dy, [&] {
    Tensor y = at::empty_like(dy);
    linear_forward(y, x, weight);
    bias_forward(y, bias);
    return y;
  });
  const std::string pair = fmt::format("linear {} → {}", in, out);
  judge.judge(claim(pair, "dx", x, dx, expected[0], norm_of_products(dy, weight)), function);
  judge.judge(claim(pair, "dweight", weight, dweight, expected[1], norm_of_products(dy.t(), x)), function);
  judge.judge(claim(pair, "dbias", bias, dbias, expected[2], norm_of(dy)), function);
}

void check_activation(Judge& judge, Activation activation, std::int64_t features) {
  const Tensor x = judge.random_input({judge.options().batch_size, judge.options().replicas, features});
  const Tensor dy = judge.random_input(x.sizes());
  const std::vector<Tensor> leaves = as_leaves({x});
  const auto expected =
      differentiate(dy, leaves, [&] { return reference_activation(activation, leaves[0]); });
  Tensor y = judge.output(x);
  Tensor dx = judge.output(x);
  activation_forward(activation, y, judge.checked(x));
  judge.options().subject.activation_backward(activation, dx, judge.checked(dy), y);
  const Differentiable function = {[&]() -> Differentiable::Value {
                                     Tensor value = at::empty_like(x);
                                     activation_forward(activation, value, x);
                                     return {value.view({-1, 1}), side_of_kink(activation, value)};
                                   },
                                   dy.view({-1, 1})};
  judge.judge(claim(fmt::format("{} {}", title_of(activation), features), "dx", x, dx, expected[0]),
              function);
}

// Of NaN, as Judge::output is.
Tensor unwritten(const Tensor& like) {
  return at::full_like(like, std::nan(""));
}

struct BatchNormPair {
  Tensor x, gamma, beta;
  std::int64_t shards;

  struct Output {
    Tensor y, x_hat, mean, variance, inverse_std;
  };

  // In the dtype of x.
  Output forward(double eps) const {
    Output output = {unwritten(x), unwritten(x), unwritten(gamma), unwritten(gamma), unwritten(gamma)};
    batch_norm_forward(output.y, output.x_hat, output.mean, output.variance, output.inverse_std, x, gamma,
                       beta, eps, sum());
    return output;
  }

  struct Gradients {
    Tensor dx, dgamma, dbeta;
  };

  Gradients backward(const GradcheckSubject& subject, const Tensor& dy, const Output& output) const {
    Gradients gradients = {unwritten(x), unwritten(gamma), unwritten(gamma)};
    subject.batch_norm_backward(gradients.dx, gradients.dgamma, gradients.dbeta, dy, output.x_hat,
                                output.inverse_std, gamma, sum());
    return gradients;
  }

  BatchSum sum() const { return {BatchPart(x.size(0), shards), gamma}; }
};

std::vector<Tensor> autograd_of_batch_norm(const BatchNormPair& of, const Tensor& dy, double eps) {
  const std::vector<Tensor> leaves = as_leaves({of.x, of.gamma, of.beta});
  return differentiate(dy, leaves, [&] {
    const auto options = F::BatchNormFuncOptions()
                             .weight(leaves[1].flatten())
                             .bias(leaves[2].flatten())
                             .training(true)
                             .eps(eps);
    return F::batch_norm(leaves[0].flatten(1), Tensor(), Tensor(), options).view_as(of.x);
  });
}

// The norm of what dx is the sum of: γ s times dy and x̂ Σ dy x̂ / N, with x̂ = x s − μ s taken apart. Where
// there are few images, little may be left of it.
double terms_of_dx(const BatchNormPair& of, const Tensor& dy, const BatchNormPair::Output& output) {
  const Tensor s = on_cpu_as_double(output.inverse_std);
  const Tensor along_x_hat = (dy * on_cpu_as_double(output.x_hat)).mean(0);
  return std::hypot(norm_of(of.gamma * s * dy), norm_of(of.gamma * s * of.x * s * along_x_hat));
}

void check_batch_norm(Judge& judge, std::int64_t features) {
  const GradcheckOptions& options = judge.options();
  const std::string pair = fmt::format("batch norm {}", features);
  const Tensor x = judge.random_input({options.batch_size, options.replicas, features});
  const Tensor gamma = judge.random_input({options.replicas, features});
  const Tensor beta = judge.random_input({options.replicas, features});
  const Tensor dy = judge.random_input(x.sizes());
  const BatchNormPair reference = {x, gamma, beta, 1};
  const BatchNormPair subject = {judge.checked(x), judge.checked(gamma), judge.checked(beta),
                                 options.network.shards};
  const auto expected = autograd_of_batch_norm(reference, dy, batch_norm_eps);

  const BatchNormPair::Output output = subject.forward(batch_norm_eps);
  const auto [dx, dgamma, dbeta] = subject.backward(options.subject, judge.checked(dy), output);
  const Differentiable function = upstream(dy, [&] { return reference.forward(batch_norm_eps).y; });
  judge.judge(claim(pair, "dx", x, dx, expected[0], terms_of_dx(reference, dy, output)), function);
  // x̂ = x s − μ s is rounded as x s is.
  const double of_x_hat = norm_of(dy * x * on_cpu_as_double(output.inverse_std));
  const double of_products = norm_of(dy * on_cpu_as_double(output.x_hat));
  judge.judge(claim(pair, "dγ", gamma, dgamma, expected[1], std::hypot(of_x_hat, of_products)), function);
  judge.judge(claim(pair, "dβ", beta, dbeta, expected[2], norm_of(dy)), function);

  // As ε → 0, y does not change when x is shifted or scaled, so dx has no part along either.
  const BatchNormPair::Output sharp = subject.forward(0);
  const Tensor sharp_dx = on_cpu_as_double(subject.backward(options.subject, judge.checked(dy), sharp).dx);
  const Tensor shift = sharp_dx.sum(0);
  const Tensor stretch = (sharp_dx * on_cpu_as_double(sharp.x_hat)).sum(0);
  const double sharp_terms = terms_of_dx(reference, dy, sharp);
  judge.judge_zero(pair, "Σ dx = 0", shift.sizes(), norm_of(shift), sharp_terms, sharp_terms);
  judge.judge_zero(pair, "Σ dx·x̂ = 0", stretch.sizes(), norm_of(stretch), sharp_terms, sharp_terms);
}

// With the mask held.
void check_dropout(Judge& judge, double p, std::int64_t features) {
  const GradcheckOptions& options = judge.options();
  const Tensor x = judge.random_input({options.batch_size, options.replicas, features});
  const Tensor dy = judge.random_input(x.sizes());
  std::vector<std::int64_t> keys(static_cast<std::size_t>(options.replicas));
  std::iota(keys.begin(), keys.end(), 1);
  Tensor mask = judge.output(x);
  dropout_mask(mask, at::tensor(keys, at::kLong).to(options.device), p);
  const Tensor held = on_cpu_as_double(mask);
  const std::vector<Tensor> leaves = as_leaves({x});
  const auto expected = differentiate(dy, leaves, [&] { return leaves[0] * held; });
  Tensor dx = judge.output(x);
  options.subject.dropout_backward(dx, judge.checked(dy), mask);
  judge.judge(claim(fmt::format("dropout {}", features), "dx", x, dx, expected[0]), upstream(dy, [&] {
                Tensor y = at::empty_like(x);
                dropout_forward(y, x, held);
                return y;
              }));
}

// It has no derivative to check: each network's gradients are those that PyTorch's function makes of them.
void check_clipping(Judge& judge, double most) {
  const GradcheckOptions& options = judge.options();
  const std::int64_t replicas = options.replicas;
  std::vector<Tensor> gradients;
  for (std::int64_t l = 0; l < options.architecture.linear_layers(); ++l) {
    gradients.push_back(
        judge.random_input({replicas, options.architecture.fan_out(l), options.architecture.fan_in(l)}));
    gradients.push_back(judge.random_input({replicas, options.architecture.fan_out(l)}));
  }
  std::vector<Tensor> clipped;
  for (const Tensor& gradient : gradients) clipped.push_back(judge.checked(gradient.clone()));
  options.subject.clip_gradient_norm(clipped, most);
  double difference = 0;
  double size = 0;
  for (std::int64_t r = 0; r < replicas; ++r) {
    std::vector<Tensor> parameters;
    for (const Tensor& gradient : gradients) {
      parameters.push_back(at::zeros_like(gradient[r]).requires_grad_());
      parameters.back().mutable_grad() = gradient[r].clone();
    }
    torch::nn::utils::clip_grad_norm_(parameters, most);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      difference = std::hypot(difference, norm_of(on_cpu_as_double(clipped[i])[r] - parameters[i].grad()));
      size = std::hypot(size, norm_of(parameters[i].grad()));
    }
  }
  judge.judge_zero("clipping by norm", "clipped - PyTorch's = 0", {replicas}, difference, size, size);
}

void check_softmax_cross_entropy(Judge& judge) {
  const GradcheckOptions& options = judge.options();
  const Tensor logits =
      judge.random_input({options.batch_size, options.replicas, options.architecture.classes});
  const Tensor labels = judge.random_labels();
  Tensor targets = judge.one_hot_rows(labels);
  smooth_labels(targets, options.label_smoothing);
  const auto smoothing = F::CrossEntropyFuncOptions().label_smoothing(options.label_smoothing);
  const Tensor dloss = at::ones({options.replicas}, at::kDouble);
  const std::vector<Tensor> leaves = as_leaves({logits});
  const auto expected = differentiate(dloss, leaves, [&] {
    std::vector<Tensor> losses;
    for (std::int64_t r = 0; r < options.replicas; ++r) {
      losses.push_back(F::cross_entropy(leaves[0].select(1, r), labels, smoothing));
    }
    return at::stack(losses);
  });
  Tensor probabilities = judge.output(logits);
  Tensor dlogits = judge.output(logits);
  softmax_cross_entropy_forward(nullptr, probabilities, judge.checked(logits), judge.checked(targets));
  options.subject.softmax_cross_entropy_backward(dlogits, probabilities, judge.checked(targets),
                                                 logits.size(0));
  judge.judge(claim("softmax cross entropy", "dlogits", logits, dlogits, expected[0]), upstream(dloss, [&] {
                Tensor loss = at::empty_like(dloss);
                Tensor scratch = at::empty_like(logits);
                softmax_cross_entropy_forward(&loss, scratch, logits, targets);
                return loss;
              }));
}

void check_l2_penalty(Judge& judge) {
  const GradcheckOptions& options = judge.options();
  const Architecture& architecture = options.architecture;
  const Tensor weight = judge.random_input(
      {options.replicas, architecture.classes, architecture.fan_in(architecture.linear_layers() - 1)});
  const Tensor l2 =
      (at::arange(options.replicas, at::kDouble) + 1).mul(0.3).to(options.dtype).to(at::kDouble);
  const Tensor dpenalty = at::ones({options.replicas}, at::kDouble);
  const std::vector<Tensor> leaves = as_leaves({weight});
  const auto expected = differentiate(dpenalty, leaves, [&] {
    return leaves[0].square().sum({1, 2}) * l2 / (2.0 * static_cast<double>(options.batch_size));
  });
  Tensor dweight = judge.checked(at::zeros_like(weight));
  const Tensor spread_l2 = l2.view({options.replicas, 1, 1}).expand_as(weight);
  options.subject.l2_penalty_backward(dweight, judge.checked(weight), judge.checked(spread_l2),
                                      options.batch_size);
  judge.judge(claim("L2 penalty", "dweight", weight, dweight, expected[0]), upstream(dpenalty, [&] {
                Tensor penalty = at::empty_like(dpenalty);
                l2_penalty_forward(penalty, {weight}, l2, options.batch_size);
                return penalty;
              }));
}

}  // namespace

void check_operations(Judge& judge) {
  const DropoutOptions& dropout = judge.options().network.dropout;
  for (const LayerSpec& layer : judge.options().architecture.layers()) {
    switch (layer.kind) {
      case LayerSpec::Kind::linear:
        if (layer.index > 0 && dropout.hidden > 0) check_dropout(judge, dropout.hidden, layer.inputs);
        check_linear(judge, layer.inputs, layer.outputs);
        break;
      case LayerSpec::Kind::activation:
        check_activation(judge, layer.activation, layer.outputs);
        break;
      case LayerSpec::Kind::batch_norm:
        check_batch_norm(judge, layer.outputs);
        break;
    }
  }
  check_softmax_cross_entropy(judge);
  check_l2_penalty(judge);
  if (judge.options().clip) check_clipping(judge, *judge.options().clip);
}

}  // namespace handgrad
