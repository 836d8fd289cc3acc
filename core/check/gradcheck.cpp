// The gradient certificate: the whole network, and the verdict.
#include "handgrad/check/gradcheck.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/check/gradcheck_judge.h"
#include "handgrad/check/reference.h"
#include "handgrad/train/footprint.h"

namespace handgrad {

namespace {

// In the order of Parameters::views().
std::vector<std::string> tensor_names(const Architecture& architecture) {
  std::vector<std::string> names;
  const auto add_names = [&](const char* name, std::int64_t layers) {
    for (std::int64_t l = 1; l <= layers; ++l) names.push_back(fmt::format("layer {} {}", l, name));
  };
  const std::int64_t layers = architecture.linear_layers();
  const std::int64_t normalised = architecture.has_batch_norm() ? layers - 1 : 0;
  add_names("weight", layers);
  add_names("bias", layers);
  add_names("γ", normalised);
  add_names("β", normalised);
  return names;
}

// Relative errors to measure with how far rounding moves a gradient: float32's own, and, for float64, some
// that stand out from those of the measurement and are small enough for their effect to be proportional to
// them.
constexpr double float32_unit = 0x1p-24;
constexpr double above_float64 = 0x1p-36;

struct CheckedBatch {
  Tensor x, labels, targets;
};

// Whether the gradient of tensor i of Parameters::views() is 0 whatever the numbers are: that of a bias which
// batch norm right behind it takes out again. All that is left of the sum over the images is rounding, which has
// no size of its own, so that the images' gradients that cancel in it, its terms, are the scale by which it
// is judged: what is 0.1 % of them is seen.
bool vanishes(const Architecture& architecture, std::size_t i) {
  const auto biases = static_cast<std::size_t>(architecture.linear_layers());  // behind the weights
  return architecture.batch_norm == BatchNormPlace::before && i >= biases &&
         i < biases + architecture.hidden.size();
}

// What autograd says of the gradients of all networks, in the order of Parameters::views().
struct Expected {
  std::vector<Tensor> gradients;  // [R,…]
  std::vector<double> size;       // norm without the penalty, which may be far larger; or that of the terms
  std::vector<double> terms;      // norm of the terms that cancel, penalty included
};

Expected expected_of(const Network& network, const Workspace& workspace, const CheckedBatch& batch,
                     const std::vector<double>& l2, const GradcheckOptions& options) {
  const at::Device device = network.options().device();
  const Tensor x = batch.x.to(device);
  const Tensor labels = batch.labels.to(device);
  const double unit = network.options().dtype() == at::kFloat ? float32_unit : above_float64;
  const std::size_t count = network.parameters.views().size();
  const std::vector<Tensor> masks = workspace.dropout_masks();
  std::vector<std::vector<Tensor>> gradients(count);  // [tensor][replica]
  Expected expected;
  expected.size.resize(count);
  expected.terms.resize(count);
  for (std::size_t r = 0; r < l2.size(); ++r) {
    const auto replica = static_cast<std::int64_t>(r);
    Regularisation regularisation;
    regularisation.label_smoothing = options.label_smoothing;
    if (options.network.normalises_shards()) regularisation.normalised_parts = options.network.shards;
    for (const Tensor& mask : masks) {
      // All networks see the same images, of which the same is dropped.
      const bool of_all = mask.defined() && mask.size(1) == 1;
      regularisation.masks.push_back(mask.defined() ? mask.select(1, of_all ? 0 : replica).to(at::kDouble)
                                                    : Tensor());
    }
    const ReferenceNetwork reference(network.architecture(), network.parameters, replica,
                                     network.network_options().batch_norm.eps, std::move(regularisation));
    const auto whole = reference.gradients(x, labels, l2[r]);
    const auto without_penalty = reference.gradients(x, labels, 0);
    const auto rounding = reference.rounding(x, labels, l2[r], unit, options.seed + r);
    for (std::size_t i = 0; i < count; ++i) {
      gradients[i].push_back(on_cpu_as_double(whole[i]));
      expected.size[i] = std::hypot(expected.size[i], norm_of(without_penalty[i]));
      expected.terms[i] = std::hypot(expected.terms[i], rounding[i]);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (vanishes(network.architecture(), i)) expected.size[i] = expected.terms[i];
    expected.gradients.push_back(at::stack(gradients[i]));
  }
  return expected;
}

class NetworkCheck {
 public:
  explicit NetworkCheck(Judge& judge) : judge_(judge), options_(judge.options()) {}

  // All gradients of `batch_size` images.
  void check_gradients(std::int64_t batch_size);

  // Batch norm undoes any scaling of a unit before it, but for ε, and a homogeneous activation between them
  // passes it on: along (W, b) of a unit the data loss changes as γ does, by ε/(v + ε) of it.
  // ⟨W, dW⟩ + b db = γ dγ ε/(v + ε).
  void check_scale_invariance();

 private:
  CheckedBatch batch(std::int64_t size);
  std::vector<double> l2_of_each() const;
  std::vector<std::uint64_t> seeds() const;
  void randomise(Network& network);
  Differentiable loss(Network& twin, Workspace& workspace, const CheckedBatch& batch,
                      const std::vector<double>& l2) const;

  Judge& judge_;
  const GradcheckOptions& options_;
};

// λ of each network, no two alike.
std::vector<double> NetworkCheck::l2_of_each() const {
  std::vector<double> values;
  for (std::int64_t r = 0; r < options_.replicas; ++r) {
    values.push_back(options_.l2 * (1 + static_cast<double>(r) / static_cast<double>(options_.replicas)));
  }
  return values;
}

std::vector<std::uint64_t> NetworkCheck::seeds() const {
  std::vector<std::uint64_t> seeds;
  for (std::int64_t r = 0; r < options_.replicas; ++r) {
    seeds.push_back(options_.seed + static_cast<std::uint64_t>(r));
  }
  return seeds;
}

// Random parameters, biases, γ and β too: nothing is zero that could hide a fault.
void NetworkCheck::randomise(Network& network) {
  network.initialise(seeds());
  for (const auto* part : {&network.parameters.bias, &network.parameters.gamma, &network.parameters.beta}) {
    for (const Tensor& tensor : *part) {
      tensor.add_(judge_.random(tensor.sizes()).mul(0.5).to(tensor.options()));
    }
  }
}

CheckedBatch NetworkCheck::batch(std::int64_t size) {
  const bool real = options_.images.defined();
  const Tensor x = real ? on_cpu_as_double(options_.images.narrow(0, 0, size).to(options_.dtype))
                        : judge_.random_input({size, options_.architecture.inputs});
  const Tensor labels = (real ? options_.labels : judge_.random_labels()).narrow(0, 0, size);
  Tensor targets = judge_.one_hot_rows(labels);
  smooth_labels(targets, options_.label_smoothing);
  return {x, labels, targets};
}

// The loss of each network, image by image, its penalty, weight by weight, and which hidden units are on.
Differentiable NetworkCheck::loss(Network& twin, Workspace& workspace, const CheckedBatch& batch,
                                  const std::vector<double>& l2) const {
  const std::int64_t images = batch.x.size(0);
  const std::int64_t replicas = options_.replicas;
  const std::int64_t classes = options_.architecture.classes;
  const Tensor targets = batch.targets.expand({images, replicas, classes}).reshape({1, -1, classes});
  const auto evaluate = [=, &twin, &workspace]() -> Differentiable::Value {
    twin.forward(workspace, batch.x, Use::training);
    Tensor losses = at::empty({images * replicas}, at::kDouble);
    Tensor scratch = at::empty_like(targets);
    softmax_cross_entropy_forward(&losses, scratch, workspace.logits().reshape({1, -1, classes}), targets);
    std::vector<Tensor> terms = {losses.view({images, replicas})};
    for (const Tensor& weight : twin.parameters.weight) terms.push_back(weight.flatten(1).t().square());
    std::vector<Tensor> on = {at::empty({0}, at::kBool)};
    for (const Tensor& y : workspace.activations()) {
      on.push_back(side_of_kink(options_.architecture.activation, y).flatten());
    }
    return {at::cat(terms), at::cat(on)};
  };
  const auto m = static_cast<double>(images);
  const Tensor of_image = at::full({images, replicas}, 1 / m, at::TensorOptions(at::kDouble));
  const Tensor of_weight = (at::tensor(l2).to(at::kDouble) / (2 * m))
                               .expand({twin.parameters.weights.numel() / replicas, replicas});
  return {evaluate, at::cat({of_image, of_weight})};
}

void NetworkCheck::check_gradients(std::int64_t batch_size) {
  Network network(options_.architecture, options_.replicas,
                  at::TensorOptions(options_.device).dtype(options_.dtype), options_.network);
  randomise(network);
  const CheckedBatch batch = this->batch(batch_size);
  const std::vector<double> l2 = l2_of_each();
  Workspace workspace(network, batch_size, Use::training);
  workspace.draw_dropout(seeds(), {options_.seed}, 0);
  network.gradients.flat.fill_(std::nan(""));
  options_.subject.network_gradients(network, workspace, judge_.checked(batch.x),
                                     judge_.checked(batch.targets), L2(l2, network.parameters));

  Network twin(options_.architecture, options_.replicas, at::kDouble, options_.network);
  twin.parameters.flat.copy_(network.parameters.flat);
  Workspace twin_workspace(twin, batch_size, Use::training);
  twin_workspace.draw_dropout(seeds(), {options_.seed}, 0);
  if (options_.against_cpu) {
    twin.forward_backward(twin_workspace, batch.x, batch.targets, L2(l2, twin.parameters));
  }

  const std::string pair = fmt::format("network, {}", counted(batch_size, "image"));
  const auto names = tensor_names(options_.architecture);
  const auto gradients = network.gradients.views();
  const auto parameters = twin.parameters.views();
  const auto twin_gradients = twin.gradients.views();
  const Expected expected = expected_of(network, workspace, batch, l2, options_);
  const Differentiable function = loss(twin, twin_workspace, batch, l2);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (options_.against_cpu) {
      const double difference = norm_of(on_cpu_as_double(gradients[i]) - twin_gradients[i]);
      judge_.judge_zero(pair + " on the CPU", names[i], parameters[i].sizes(), difference, expected.size[i],
                        expected.terms[i]);
    }
    judge_.judge({pair, names[i], parameters[i], gradients[i], expected.gradients[i], expected.size[i],
                  expected.terms[i], vanishes(options_.architecture, i)},
                 function);
  }
}

void NetworkCheck::check_scale_invariance() {
  Network network(options_.architecture, options_.replicas,
                  at::TensorOptions(options_.device).dtype(options_.dtype), options_.network);
  randomise(network);
  const CheckedBatch batch = this->batch(options_.batch_size);
  Workspace workspace(network, options_.batch_size, Use::training);
  workspace.draw_dropout(seeds(), {options_.seed}, 0);
  const std::vector<double> none(static_cast<std::size_t>(options_.replicas), 0.0);
  options_.subject.network_gradients(network, workspace, judge_.checked(batch.x),
                                     judge_.checked(batch.targets), L2(none, network.parameters));
  const Expected expected = expected_of(network, workspace, batch, none, options_);
  const std::size_t layers = network.parameters.weight.size();
  const double eps = network.network_options().batch_norm.eps;
  for (std::size_t l = 0; l < network.parameters.gamma.size(); ++l) {
    const Tensor weight = on_cpu_as_double(network.parameters.weight[l]);
    const Tensor bias = on_cpu_as_double(network.parameters.bias[l]);
    const Tensor along_weight = weight * on_cpu_as_double(network.gradients.weight[l]);
    const Tensor along_bias = bias * on_cpu_as_double(network.gradients.bias[l]);
    const Tensor along_gamma = on_cpu_as_double(network.parameters.gamma[l] * network.gradients.gamma[l]);
    const Tensor variance =
        on_cpu_as_double(workspace.linear_output(static_cast<std::int64_t>(l))).var(0, /*unbiased=*/false);
    const Tensor rest = along_gamma * (eps / (variance + eps));
    const Tensor sum = along_weight.sum(2) + along_bias - rest;
    const double size = norm_of(along_weight.abs().sum(2) + along_bias.abs());
    const double terms = norm_of(weight) * expected.terms[l] + norm_of(bias) * expected.terms[layers + l] +
                         norm_of(network.parameters.gamma[l]) * expected.terms[2 * layers + l];
    judge_.judge_zero(fmt::format("batch norm, layer {}", l + 1), "⟨W,dW⟩+⟨b,db⟩ = 0", sum.sizes(),
                      norm_of(sum), size, terms);
  }
}

}  // namespace

Verdict GradientCheck::verdict() const {
  // Written so that a NaN is never within a tolerance.
  const bool evidence = autograd_error.has_value() || finite_difference_error.has_value();
  const bool autograd_good = !autograd_error || *autograd_error <= autograd_tolerance;
  const bool differences_good =
      !finite_difference_error || *finite_difference_error <= finite_difference_tolerance;
  if (!evidence || !autograd_good || !differences_good) return Verdict::failed;
  return decidable ? Verdict::passed : Verdict::undecided;
}

std::int64_t GradientReport::points() const {
  return std::accumulate(checks.begin(), checks.end(), std::int64_t{0},
                         [](std::int64_t sum, const GradientCheck& check) { return sum + check.points; });
}

std::int64_t GradientReport::skipped() const {
  return std::accumulate(checks.begin(), checks.end(), std::int64_t{0},
                         [](std::int64_t sum, const GradientCheck& check) { return sum + check.skipped; });
}

std::int64_t GradientReport::count(Verdict verdict) const {
  return std::count_if(checks.begin(), checks.end(),
                       [&](const GradientCheck& check) { return check.verdict() == verdict; });
}

bool GradientReport::passed() const {
  return count(Verdict::passed) > 0 && count(Verdict::failed) == 0;
}

std::int64_t gradcheck_bytes(const GradcheckOptions& options) {
  // Measured: how often the references and the steps of finite differences hold each number at the same time.
  constexpr std::int64_t of_parameter = 16;
  constexpr std::int64_t of_pixel = 9;
  constexpr std::int64_t of_activation = 28;
  const Architecture& architecture = options.architecture;
  const std::int64_t of_image =
      of_pixel * architecture.inputs + of_activation * options.replicas * architecture.unit_count();
  const std::int64_t of_network = of_parameter * architecture.parameter_count();
  const std::int64_t numbers = of_network * options.replicas + of_image * options.batch_size;
  return numbers * static_cast<std::int64_t>(sizeof(double));
}

void require_memory(const GradcheckOptions& options, std::int64_t free_bytes) {
  const std::int64_t needed = gradcheck_bytes(options);
  const std::int64_t usable = usable_bytes(free_bytes, at::kCPU);
  if (needed <= usable) return;
  const std::int64_t fitting = usable / (needed / options.replicas);
  const std::string remedy = fitting > 0 ? fmt::format("{} would fit", counted(fitting, "network"))
                                         : "choose narrower hidden layers or a smaller batch";
  throw DeviceError(
      fitting > 0 ? "replicas" : "hidden",
      fmt::format("the check of {} needs {}, but {} of memory are free; {}",
                  counted(options.replicas, "network"), gibibytes(needed), gibibytes(free_bytes), remedy));
}

GradientReport gradcheck(const GradcheckOptions& options) {
  const Architecture& architecture = options.architecture;
  validate(architecture, options.replicas);
  const std::int64_t normalised_parts = options.network.normalises_shards() ? options.network.shards : 1;
  const std::int64_t least = architecture.has_batch_norm() ? 2 * normalised_parts : 1;
  if (options.batch_size < least) {
    throw ArgumentError("batch_size", fmt::format("got {}; must be at least {}{}", options.batch_size, least,
                                                  architecture.has_batch_norm() ? " with batch norm" : ""));
  }
  const at::NoGradGuard no_grad;
  Judge judge(options);
  check_operations(judge);
  NetworkCheck networks(judge);
  networks.check_gradients(options.batch_size);
  const std::int64_t ragged = options.batch_size * 2 / 3;  // of a last batch
  if (ragged >= least) networks.check_gradients(ragged);
  const bool scales = architecture.batch_norm == BatchNormPlace::before ||
                      is_homogeneous(architecture.activation);  // what batch norm takes in
  // Of shards each has a variance of its own.
  if (architecture.has_batch_norm() && scales && normalised_parts == 1) networks.check_scale_invariance();
  return judge.report();
}

}  // namespace handgrad
