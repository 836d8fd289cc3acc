// The gradient certificate.
#include "gradcheck.h"

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "counted.h"
#include "errors.h"
#include "init.h"
#include "reference.h"

namespace handgrad {

namespace {

namespace F = torch::nn::functional;

constexpr double finite_difference_step = 1e-6;
constexpr int directions_per_tensor = 4;
constexpr std::int64_t most_single_elements =
    64;  // a tensor of at most so many is also checked element by element
constexpr std::int64_t least_uncancelled_batch = 7;

double norm_of(const Tensor& tensor) {
  return tensor.to(at::kCPU, at::kDouble).norm().item<double>();
}

double inner_product(const Tensor& a, const Tensor& b) {
  return (a.flatten() * b.flatten()).sum().item<double>();
}

// 0 only where there is no difference at all; NaN and infinity stay what they are.
double over(double difference, double scale) {
  if (difference == 0) return 0;
  return difference / scale;
}

double cosine(const Tensor& a, const Tensor& b) {
  const double product = norm_of(a) * norm_of(b);
  if (product == 0) return norm_of(a) == norm_of(b) ? 1 : 0;
  return inner_product(a, b) / product;
}

Tensor on_cpu_as_double(const Tensor& tensor) {
  return tensor.detach().to(at::kCPU, at::kDouble).contiguous();
}

// A tensor that finite differences move, and the gradient that is claimed for it.
struct Claim {
  const char* name;
  Tensor input;     // float64; moved and set back
  Tensor gradient;  // claimed ∂⟨dy, y⟩/∂input
  Tensor expected;  // autograd's
  double scale;     // of the errors: the norm of `expected` unless terms cancel
};

// What finite differences found about a claim.
class Slopes {
 public:
  void measure(double error) {
    ++points_;
    // The comparison is false for a NaN, on either side: the first one stays.
    if (!std::isnan(worst_) && !(error <= worst_)) worst_ = error;
  }

  void skip(std::int64_t count) {
    points_ += count;
    skipped_ += count;
  }

  std::int64_t points() const { return points_; }
  std::int64_t skipped() const { return skipped_; }

  // The largest error; NaN where nothing was measured, so that nothing is proven by leaving everything out.
  double worst() const { return points_ > skipped_ ? worst_ : std::numeric_limits<double>::quiet_NaN(); }

 private:
  double worst_ = 0;
  std::int64_t points_ = 0;
  std::int64_t skipped_ = 0;
};

class Checker {
 public:
  explicit Checker(const GradcheckOptions& options)
      : options_(options),
        subject_(options.subject),
        generator_(at::detail::createCPUGenerator(options.seed)),
        autograd_tolerance_(options.dtype == at::kDouble ? 1e-12 : 1e-4),
        batch_norm_tolerance_(options.dtype == at::kDouble ? 1e-10 : 1e-4),
        difference_tolerance_(options.dtype == at::kDouble ? 1e-6 : 1e-4) {}

  GradientReport run() {
    const at::NoGradGuard no_grad;
    const Architecture& architecture = options_.architecture;
    for (std::int64_t l = 0; l < architecture.layers(); ++l) {
      check_linear(architecture.fan_in(l), architecture.fan_out(l));
      if (l + 1 == architecture.layers()) break;
      check_relu(architecture.fan_out(l));
      if (architecture.batch_norm) check_batch_norm(architecture.fan_out(l));
    }
    check_softmax_cross_entropy();
    check_l2_penalty();
    for (const std::int64_t batch_size : batch_sizes()) check_network(batch_size);
    // With few images the gradient itself is so small beside its terms that only rounding errors would be
    // measured.
    if (architecture.batch_norm && !cancels(options_.batch_size)) check_scale_invariance();
    return report_;
  }

 private:
  // The batch size, and that of a ragged last batch.
  std::vector<std::int64_t> batch_sizes() const {
    const std::int64_t full = options_.batch_size;
    const std::int64_t ragged = full * 2 / 3;
    if (ragged < (options_.architecture.batch_norm ? 2 : 1)) return {full};
    return {full, ragged};
  }

  Tensor random(at::IntArrayRef shape) {
    return at::randn(shape, generator_, at::TensorOptions().dtype(at::kDouble));
  }

  // Values as the checked dtype rounds them, so that checked function and reference see the same.
  Tensor random_input(at::IntArrayRef shape) { return on_cpu_as_double(random(shape).to(options_.dtype)); }

  Tensor checked(const Tensor& value) const { return value.to(options_.device, options_.dtype); }

  Tensor output(const Tensor& like) const {
    // An operation that leaves an element unwritten is found out.
    return at::full(like.sizes(), std::nan(""), at::TensorOptions(options_.device).dtype(options_.dtype));
  }

  void add(const std::string& pair, const Claim& claim, const Slopes& slopes, double tolerance) {
    const Tensor gradient = on_cpu_as_double(claim.gradient);
    GradientCheck check;
    check.pair = pair;
    check.tensor = claim.name;
    check.shape = claim.input.sizes().vec();
    check.autograd_error = over(norm_of(gradient - claim.expected), claim.scale);
    check.finite_difference_error = slopes.worst();
    check.points = slopes.points();
    check.skipped = slopes.skipped();
    check.cosine = cosine(gradient, claim.expected);
    check.autograd_tolerance = tolerance;
    check.finite_difference_tolerance = difference_tolerance_;
    report_.checks.push_back(check);
  }

  void add_invariant(const std::string& pair, const std::string& what, at::IntArrayRef shape, double error,
                     double tolerance) {
    GradientCheck check;
    check.pair = pair;
    check.tensor = what;
    check.shape = shape.vec();
    check.autograd_error = error;
    check.autograd_tolerance = tolerance;
    report_.checks.push_back(check);
  }

  // Central differences of ⟨dy, y(input)⟩ along `direction` against the claimed slope.
  double slope_error(const Claim& claim, const Tensor& direction, double scale, const Tensor& dy,
                     const std::function<Tensor()>& y) const {
    const Tensor start = claim.input.clone();
    Tensor input = claim.input;
    input.add_(direction, finite_difference_step);
    const Tensor above = y().clone();
    input.copy_(start).sub_(direction, finite_difference_step);
    const Tensor below = y().clone();
    input.copy_(start);
    const double measured = inner_product(dy, above - below) / (2 * finite_difference_step);
    return over(std::abs(measured - inner_product(on_cpu_as_double(claim.gradient), direction)), scale);
  }

  // Slopes along random directions and, in small tensors, of each element. `frozen` marks elements that stand
  // too near a kink to be moved.
  Slopes finite_differences(const Claim& claim, const Tensor& dy, const std::function<Tensor()>& y,
                            const Tensor& frozen = Tensor()) {
    const std::int64_t elements = claim.input.numel();
    const double scale = claim.scale / std::sqrt(static_cast<double>(elements));
    const Tensor movable =
        frozen.defined() ? frozen.logical_not().to(at::kDouble) : at::ones_like(claim.input);
    Slopes slopes;
    if (frozen.defined()) slopes.skip(frozen.sum().item<std::int64_t>());
    for (int i = 0; i < directions_per_tensor; ++i) {
      const Tensor direction = random(claim.input.sizes()) * movable;
      slopes.measure(slope_error(claim, direction / direction.norm(), scale, dy, y));
    }
    for (std::int64_t i = 0; i < elements && elements <= most_single_elements; ++i) {
      if (movable.view(-1)[i].item<double>() == 0) continue;
      Tensor direction = at::zeros_like(claim.input);
      direction.view(-1)[i] = 1;
      slopes.measure(slope_error(claim, direction, scale, dy, y));
    }
    return slopes;
  }

  void check_linear(std::int64_t in, std::int64_t out) {
    const std::string pair = fmt::format("linear {} → {}", in, out);
    const Tensor x = random_input({options_.batch_size, in});
    const Tensor weight = random_input({out, in});
    const Tensor bias = random_input({out});
    const Tensor dy = random_input({options_.batch_size, out});

    const std::vector<Tensor> leaves = as_leaves({x, weight, bias});
    const auto expected =
        differentiate(dy, leaves, [&] { return F::linear(leaves[0], leaves[1], leaves[2]); });
    Tensor dx = output(x);
    Tensor dweight = output(weight);
    Tensor dbias = output(bias);
    subject_.linear_backward(&dx, &dweight, checked(dy), checked(x), checked(weight));
    subject_.bias_backward(dbias, checked(dy));

    const auto y = [&] {
      Tensor value = at::empty_like(dy);
      linear_forward(value, x, weight);
      bias_forward(value, bias);
      return value;
    };
    for (const Claim& claim : {Claim{"dx", x, dx, expected[0], norm_of(expected[0])},
                               Claim{"dweight", weight, dweight, expected[1], norm_of(expected[1])},
                               Claim{"dbias", bias, dbias, expected[2], norm_of(expected[2])}}) {
      add(pair, claim, finite_differences(claim, dy, y), autograd_tolerance_);
    }
  }

  void check_relu(std::int64_t features) {
    const Tensor x = random_input({options_.batch_size, options_.replicas, features});
    const Tensor dy = random_input(x.sizes());
    const std::vector<Tensor> leaves = as_leaves({x});
    const auto expected = differentiate(dy, leaves, [&] { return F::relu(leaves[0]); });
    Tensor y = output(x);
    Tensor dx = output(x);
    relu_forward(y, checked(x));
    subject_.relu_backward(dx, checked(dy), y);
    const Claim claim{"dx", x, dx, expected[0], norm_of(expected[0])};
    const auto forward = [&] {
      Tensor value = at::empty_like(x);
      relu_forward(value, x);
      return value;
    };
    const Tensor frozen = x.abs() <= finite_difference_step;
    add(fmt::format("ReLU {}", features), claim, finite_differences(claim, dy, forward, frozen),
        autograd_tolerance_);
  }

  void check_batch_norm(std::int64_t features) {
    const std::string pair = fmt::format("batch norm {}", features);
    const Tensor x = random_input({options_.batch_size, options_.replicas, features});
    const Tensor gamma = random_input({options_.replicas, features});
    const Tensor beta = random_input({options_.replicas, features});
    const Tensor dy = random_input(x.sizes());
    const std::vector<Tensor> leaves = as_leaves({x, gamma, beta});
    const auto expected = differentiate(dy, leaves, [&] {
      const auto options =
          F::BatchNormFuncOptions().weight(leaves[1].flatten()).bias(leaves[2].flatten()).training(true);
      return F::batch_norm(leaves[0].flatten(1), Tensor(), Tensor(),
                           F::BatchNormFuncOptions(options).eps(batch_norm_eps))
          .view_as(x);
    });

    const auto backward = [&](Tensor& dx, Tensor& dgamma, Tensor& dbeta, double eps) {
      Tensor y = output(x);
      Tensor x_hat = output(x);
      Tensor mean = output(gamma);
      Tensor variance = output(gamma);
      Tensor inverse_std = output(gamma);
      batch_norm_forward(y, x_hat, mean, variance, inverse_std, checked(x), checked(gamma), checked(beta),
                         eps);
      subject_.batch_norm_backward(dx, dgamma, dbeta, checked(dy), x_hat, inverse_std, checked(gamma));
      return std::pair(on_cpu_as_double(x_hat), on_cpu_as_double(inverse_std));
    };
    Tensor dx = output(x);
    Tensor dgamma = output(gamma);
    Tensor dbeta = output(beta);
    const auto [x_hat, inverse_std] = backward(dx, dgamma, dbeta, batch_norm_eps);
    const double uncancelled = norm_of(dy * gamma * inverse_std);

    const auto y = [&] {
      Tensor value = at::empty_like(x);
      Tensor scratch = at::empty_like(x);
      Tensor mean = at::empty_like(gamma);
      Tensor variance = at::empty_like(gamma);
      Tensor inverse = at::empty_like(gamma);
      batch_norm_forward(value, scratch, mean, variance, inverse, x, gamma, beta, batch_norm_eps);
      return value;
    };
    const double dx_scale = cancels(options_.batch_size) ? uncancelled : norm_of(expected[0]);
    for (const Claim& claim : {Claim{"dx", x, dx, expected[0], dx_scale},
                               Claim{"dγ", gamma, dgamma, expected[1], norm_of(expected[1])},
                               Claim{"dβ", beta, dbeta, expected[2], norm_of(expected[2])}}) {
      add(pair, claim, finite_differences(claim, dy, y), batch_norm_tolerance_);
    }

    // As ε → 0, y does not change when x is shifted or scaled, so dx has no part along either.
    Tensor dx_without_eps = output(x);
    const auto [x_hat_without_eps, unused] = backward(dx_without_eps, dgamma, dbeta, 0.0);
    const Tensor shift = on_cpu_as_double(dx_without_eps).sum(0);
    const Tensor stretch = (on_cpu_as_double(dx_without_eps) * x_hat_without_eps).sum(0);
    add_invariant(pair, "Σ dx = 0", shift.sizes(), over(norm_of(shift), uncancelled), batch_norm_tolerance_);
    add_invariant(pair, "Σ dx·x̂ = 0", stretch.sizes(), over(norm_of(stretch), uncancelled),
                  batch_norm_tolerance_);
  }

  void check_softmax_cross_entropy() {
    const std::int64_t classes = options_.architecture.classes;
    const Tensor logits = random_input({options_.batch_size, options_.replicas, classes});
    const Tensor labels = random_labels();
    const Tensor targets = one_hot_rows(labels);
    const Tensor dloss = at::ones({options_.replicas}, at::kDouble);
    const std::vector<Tensor> leaves = as_leaves({logits});
    const auto expected = differentiate(dloss, leaves, [&] {
      std::vector<Tensor> losses;
      for (std::int64_t r = 0; r < options_.replicas; ++r) {
        losses.push_back(F::cross_entropy(leaves[0].select(1, r), labels));
      }
      return at::stack(losses);
    });
    Tensor probabilities = output(logits);
    Tensor dlogits = output(logits);
    softmax_cross_entropy_forward(nullptr, probabilities, checked(logits), checked(targets));
    subject_.softmax_cross_entropy_backward(dlogits, probabilities, checked(targets));
    const Claim claim{"dlogits", logits, dlogits, expected[0], norm_of(expected[0])};
    const auto loss = [&] {
      Tensor value = at::empty_like(dloss);
      Tensor scratch = at::empty_like(logits);
      softmax_cross_entropy_forward(&value, scratch, logits, targets);
      return value;
    };
    add("softmax cross entropy", claim, finite_differences(claim, dloss, loss), autograd_tolerance_);
  }

  void check_l2_penalty() {
    const Architecture& architecture = options_.architecture;
    // The last layer's, and not too wide: differences of a sum lose digits with its length.
    const std::int64_t fan_in =
        std::min(architecture.fan_in(architecture.layers() - 1), most_single_elements);
    const Tensor weight = random_input({options_.replicas, architecture.classes, fan_in});
    const Tensor l2 =
        on_cpu_as_double((at::arange(options_.replicas, at::kDouble) + 1).mul(0.3).to(options_.dtype));
    const Tensor dpenalty = at::ones({options_.replicas}, at::kDouble);
    const std::vector<Tensor> leaves = as_leaves({weight});
    const auto expected = differentiate(dpenalty, leaves, [&] {
      return leaves[0].square().sum({1, 2}) * l2 / (2.0 * static_cast<double>(options_.batch_size));
    });
    Tensor dweight = checked(at::zeros_like(weight));
    const Tensor spread_l2 = l2.view({options_.replicas, 1, 1}).expand_as(weight);
    subject_.l2_penalty_backward(dweight, checked(weight), checked(spread_l2), options_.batch_size);
    const Claim claim{"dweight", weight, dweight, expected[0], norm_of(expected[0])};
    const auto penalty = [&] {
      Tensor value = at::empty_like(dpenalty);
      l2_penalty_forward(value, {weight}, l2, options_.batch_size);
      return value;
    };
    add("L2 penalty", claim, finite_differences(claim, dpenalty, penalty), autograd_tolerance_);
  }

  // Random parameters, biases, γ and β too: nothing is zero that could hide a fault.
  void randomise(Network& network) {
    std::vector<std::uint64_t> seeds;
    for (std::int64_t r = 0; r < network.replicas(); ++r) {
      seeds.push_back(options_.seed + static_cast<std::uint64_t>(r));
    }
    network.initialise(seeds);
    for (const auto* part : {&network.parameters.bias, &network.parameters.gamma, &network.parameters.beta}) {
      for (const Tensor& tensor : *part) tensor.add_(random(tensor.sizes()).mul(0.5).to(tensor.options()));
    }
  }

  std::pair<Tensor, Tensor> batch(std::int64_t size) {
    if (options_.images.defined()) {
      return {on_cpu_as_double(options_.images.narrow(0, 0, size).to(options_.dtype)),
              options_.labels.narrow(0, 0, size)};
    }
    return {random_input({size, options_.architecture.inputs}), random_labels().narrow(0, 0, size)};
  }

  void check_network(std::int64_t batch_size) {
    Network network(options_.architecture, options_.replicas,
                    at::TensorOptions(options_.device).dtype(options_.dtype), options_.compat);
    randomise(network);
    const auto [x, labels] = batch(batch_size);
    const Tensor targets = one_hot_rows(labels);
    std::vector<double> l2_values;
    for (std::int64_t r = 0; r < options_.replicas; ++r) {
      l2_values.push_back(options_.l2 * static_cast<double>(r + 1));
    }
    Workspace workspace(network, batch_size, Workspace::Use::training);
    network.gradients.flat.fill_(std::nan(""));
    subject_.network_gradients(network, workspace, checked(x), checked(targets),
                               L2(l2_values, network.parameters));

    std::vector<std::vector<Tensor>> expected;     // [tensor][replica]
    std::vector<std::vector<Tensor>> uncancelled;  // likewise
    const Tensor x_there = x.to(options_.device);
    const Tensor labels_there = labels.to(options_.device);
    for (std::int64_t r = 0; r < options_.replicas; ++r) {
      const ReferenceNetwork reference(network.parameters, r);
      const double l2 = l2_values[static_cast<std::size_t>(r)];
      append(expected, reference.gradients(x_there, labels_there, l2));
      append(uncancelled,
             reference.gradients(x_there, labels_there, l2, ReferenceNetwork::Statistics::constant));
    }

    Network twin(options_.architecture, options_.replicas, at::kDouble);
    twin.parameters.flat.copy_(network.parameters.flat);
    Workspace twin_workspace(twin, batch_size, Workspace::Use::training);
    const L2 twin_l2(l2_values, twin.parameters);
    const std::string pair = fmt::format("network, {}", counted(batch_size, "image"));
    const auto names = tensor_names();
    const auto gradients = network.gradients.views();
    const auto parameters = twin.parameters.views();
    const auto twin_gradients = twin.gradients.views();
    if (options_.against_cpu) twin.forward_backward(twin_workspace, x, targets, twin_l2);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const Tensor reference = on_cpu_as_double(at::stack(expected[i]));
      const double terms = norm_of(at::stack(uncancelled[i]));
      const double scale = cancels(batch_size) ? std::max(terms, norm_of(reference)) : norm_of(reference);
      const Claim claim{names[i].c_str(), parameters[i], gradients[i], reference, scale};
      const double tolerance = options_.architecture.batch_norm ? batch_norm_tolerance_ : autograd_tolerance_;
      if (options_.against_cpu) {
        const double difference = norm_of(on_cpu_as_double(gradients[i]) - twin_gradients[i]);
        add_invariant(pair + " on the CPU", names[i], parameters[i].sizes(), over(difference, scale),
                      tolerance);
      }
      add(pair, claim, network_differences(twin, twin_workspace, x, targets, twin_l2, claim), tolerance);
    }
  }

  // Finite differences of the loss of all networks at once: each network has a direction of its own.
  Slopes network_differences(Network& twin, Workspace& workspace, const Tensor& x, const Tensor& targets,
                             const L2& l2, const Claim& claim) {
    Tensor input = claim.input;
    const Tensor start = input.clone();
    const Tensor gradient = on_cpu_as_double(claim.gradient).flatten(1);
    const std::int64_t elements = gradient.size(1);
    const double scale = claim.scale / std::sqrt(static_cast<double>(gradient.numel()));
    Slopes slopes;
    const auto measure = [&](const Tensor& direction) {  // [R, elements], each row of length 1
      Tensor crossed = at::zeros({options_.replicas}, at::kBool);
      const auto central_difference = [&](double step) {
        const Tensor move = direction.view_as(input) * step;
        input.add_(move);
        const auto [above, signs_above] = loss_and_signs(twin, workspace, x, targets, l2);
        input.copy_(start).sub_(move);
        const auto [below, signs_below] = loss_and_signs(twin, workspace, x, targets, l2);
        input.copy_(start);
        crossed.logical_or_(signs_above.ne(signs_below).any(1));
        return (above - below) / (2 * step);
      };
      // Two steps cancel the error of second order: batch norm bends sharply where a feature hardly varies.
      const Tensor slope =
          (4 * central_difference(finite_difference_step) - central_difference(2 * finite_difference_step)) /
          3;
      const Tensor errors = (slope - (gradient * direction).sum(1)).abs();
      for (std::int64_t r = 0; r < errors.size(0); ++r) {
        if (crossed[r].item<bool>()) {
          slopes.skip(1);
        } else {
          slopes.measure(over(errors[r].item<double>(), scale));
        }
      }
    };
    for (int i = 0; i < directions_per_tensor; ++i) {
      const Tensor direction = random(gradient.sizes());
      measure(direction / direction.norm(2, 1, true));
    }
    for (std::int64_t i = 0; i < elements && elements <= most_single_elements; ++i) {
      Tensor direction = at::zeros_like(gradient);
      direction.select(1, i).fill_(1);
      measure(direction);
    }
    return slopes;
  }

  // The loss with its penalty [R], and which hidden units are on [R, all of them].
  std::pair<Tensor, Tensor> loss_and_signs(Network& twin, Workspace& workspace, const Tensor& x,
                                           const Tensor& targets, const L2& l2) const {
    Tensor loss = at::empty({options_.replicas}, at::kDouble);
    twin.forward(workspace, x, Workspace::Use::training);
    twin.loss(workspace, targets, loss);
    std::vector<Tensor> signs = {at::zeros({options_.replicas, 0}, at::kBool)};
    for (std::int64_t l = 0; l + 1 < options_.architecture.layers(); ++l) {
      signs.push_back(workspace.activation(l).gt(0).transpose(0, 1).flatten(1));
    }
    return {loss + twin.l2_penalty(l2, x.size(0)), at::cat(signs, 1)};
  }

  // Batch norm undoes any scaling of a unit before it, and ReLU passes it on: as ε → 0 the data loss does not
  // change along (W, b) of a unit, so ⟨W, dW⟩ + ⟨b, db⟩ = 0. Large weights make ε small beside the variance.
  void check_scale_invariance() {
    constexpr double large = 1e4;
    Network network(options_.architecture, options_.replicas,
                    at::TensorOptions(options_.device).dtype(options_.dtype), options_.compat);
    randomise(network);
    for (std::size_t l = 0; l < network.parameters.gamma.size(); ++l) {
      network.parameters.weight[l].mul_(large);
      network.parameters.bias[l].mul_(large);
    }
    const auto [x, labels] = batch(options_.batch_size);
    Workspace workspace(network, options_.batch_size, Workspace::Use::training);
    const std::vector<double> none(static_cast<std::size_t>(options_.replicas), 0.0);
    subject_.network_gradients(network, workspace, checked(x), checked(one_hot_rows(labels)),
                               L2(none, network.parameters));
    for (std::size_t l = 0; l < network.parameters.gamma.size(); ++l) {
      const Tensor weight = on_cpu_as_double(network.parameters.weight[l]);
      const Tensor bias = on_cpu_as_double(network.parameters.bias[l]);
      const Tensor dweight = on_cpu_as_double(network.gradients.weight[l]);
      const Tensor dbias = on_cpu_as_double(network.gradients.bias[l]);
      const Tensor sum = (weight * dweight).sum(2) + bias * dbias;
      const Tensor terms = (weight * dweight).abs().sum(2) + (bias * dbias).abs();
      add_invariant(fmt::format("batch norm, layer {}", l + 1), "⟨W,dW⟩+⟨b,db⟩ = 0", sum.sizes(),
                    over(norm_of(sum), norm_of(terms)), options_.dtype == at::kDouble ? 1e-7 : 1e-3);
    }
  }

  bool cancels(std::int64_t batch_size) const {
    return options_.architecture.batch_norm && batch_size < least_uncancelled_batch;
  }

  Tensor random_labels() {
    return at::randint(0, options_.architecture.classes, {options_.batch_size}, generator_,
                       at::TensorOptions().dtype(at::kLong));
  }

  Tensor one_hot_rows(const Tensor& labels) const {
    return at::one_hot(labels, options_.architecture.classes).to(at::kDouble).unsqueeze(1);
  }

  static std::vector<Tensor> as_leaves(const std::vector<Tensor>& inputs) {
    std::vector<Tensor> leaves;
    for (const Tensor& input : inputs) leaves.push_back(input.clone().requires_grad_());
    return leaves;
  }

  static std::vector<Tensor> differentiate(const Tensor& dy, const std::vector<Tensor>& leaves,
                                           const std::function<Tensor()>& y) {
    const torch::AutoGradMode with_gradients(true);
    return torch::autograd::grad({y()}, leaves, {dy});
  }

  static void append(std::vector<std::vector<Tensor>>& per_tensor, const std::vector<Tensor>& tensors) {
    per_tensor.resize(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) per_tensor[i].push_back(tensors[i]);
  }

  // In the order of Parameters::views().
  std::vector<std::string> tensor_names() const {
    std::vector<std::string> names;
    const auto add_names = [&](const char* name, std::int64_t layers) {
      for (std::int64_t l = 1; l <= layers; ++l) names.push_back(fmt::format("layer {} {}", l, name));
    };
    const std::int64_t layers = options_.architecture.layers();
    const std::int64_t normalised = options_.architecture.batch_norm ? layers - 1 : 0;
    add_names("weight", layers);
    add_names("bias", layers);
    add_names("γ", normalised);
    add_names("β", normalised);
    return names;
  }

  const GradcheckOptions& options_;
  const GradcheckSubject& subject_;
  at::Generator generator_;
  double autograd_tolerance_, batch_norm_tolerance_, difference_tolerance_;
  GradientReport report_;
};

}  // namespace

bool GradientCheck::passed() const {
  // Written so that a NaN is never within a tolerance.
  const bool evidence = autograd_error.has_value() || finite_difference_error.has_value();
  const bool autograd_good = !autograd_error || *autograd_error <= autograd_tolerance;
  const bool differences_good =
      !finite_difference_error || *finite_difference_error <= finite_difference_tolerance;
  return evidence && autograd_good && differences_good;
}

std::int64_t GradientReport::points() const {
  return std::accumulate(checks.begin(), checks.end(), std::int64_t{0},
                         [](std::int64_t sum, const GradientCheck& check) { return sum + check.points; });
}

std::int64_t GradientReport::skipped() const {
  return std::accumulate(checks.begin(), checks.end(), std::int64_t{0},
                         [](std::int64_t sum, const GradientCheck& check) { return sum + check.skipped; });
}

bool GradientReport::too_many_skipped() const {
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> per_pair;
  for (const GradientCheck& check : checks) {
    per_pair[check.pair].first += check.points;
    per_pair[check.pair].second += check.skipped;
  }
  return std::any_of(per_pair.begin(), per_pair.end(), [](const auto& entry) {
    const auto& [points, skipped] = entry.second;
    return skipped * 100 > points;
  });
}

bool GradientReport::passed() const {
  const auto good = [](const GradientCheck& check) { return check.passed(); };
  return !checks.empty() && std::all_of(checks.begin(), checks.end(), good) && !too_many_skipped();
}

GradientReport gradcheck(const GradcheckOptions& options) {
  validate(options.architecture, options.replicas);
  const std::int64_t least = options.architecture.batch_norm ? 2 : 1;
  if (options.batch_size < least) {
    throw ArgumentError("batch_size", fmt::format("got {}; must be at least {}{}", options.batch_size, least,
                                                  options.architecture.batch_norm ? " with batch norm" : ""));
  }
  return Checker(options).run();
}

}  // namespace handgrad
