// Networks of random shapes and scales against autograd, and shrunk to a small one where they differ.
#include <ATen/CPUGeneratorImpl.h>
#include <rapidcheck.h>
#include <torch/nn/functional.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "handgrad/check/gradcheck.h"
#include "handgrad/check/reference.h"
#include "handgrad/nn/network.h"
#include "test.h"

using namespace handgrad;
namespace F = torch::nn::functional;

namespace {

enum class Layout { contiguous, transposed, every_other_column, every_other_row };

// A network, its batch and the seed of all its numbers.
struct Example {
  std::int64_t inputs = 1, classes = 2;
  // Of each layer the decimal exponent of its weights, biases, γ and β, in tenths.
  std::vector<std::pair<std::int64_t, int>> hidden;  // width and scale
  int last_scale = 0;
  int largest_logit = 0;  // decimal exponent in tenths
  BatchNormPlace batch_norm = BatchNormPlace::none;
  bool zero_biases = false;
  std::int64_t replicas = 1, batch_size = 1;
  int zero_inputs = 0;  // in quarters of all
  Layout layout = Layout::contiguous;
  std::vector<double> l2;  // of each network in turn
  std::uint64_t seed = 0;

  Architecture architecture() const {
    Architecture result{inputs, {}, classes, batch_norm};
    for (const auto& layer : hidden) result.hidden.push_back(layer.first);
    return result;
  }
};

double power_of_ten(int tenths) {
  return std::pow(10.0, tenths / 10.0);
}

// How RapidCheck prints an example that fails.
std::ostream& operator<<(std::ostream& out, const Example& example) {
  constexpr const char* layouts[] = {"contiguous", "transposed", "every other column", "every other row"};
  out << "\nnetwork " << example.architecture().description() << ", " << example.replicas
      << " side by side; scales";
  for (const auto& layer : example.hidden) out << " " << power_of_ten(layer.second);
  out << " " << power_of_ten(example.last_scale) << ", largest logit " << power_of_ten(example.largest_logit)
      << (example.zero_biases ? ", no biases" : "") << ", L2";
  for (const double l2 : example.l2) out << " " << l2;
  return out << "\nbatch of " << example.batch_size << ", " << example.zero_inputs << "/4 of it 0, "
             << layouts[static_cast<int>(example.layout)] << ", seed " << example.seed << "\n";
}

// min … max at every size of example, shrinking to min.
template <typename T>
rc::Gen<T> between(T min, T max) {
  return rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(min, max + 1));
}

// −most … most, shrinking to 0.
rc::Gen<int> exponent(int most) {
  return rc::gen::map(between(0, 2 * most), [](int i) { return i % 2 == 0 ? i / 2 : -(i + 1) / 2; });
}

struct Limits {
  std::int64_t depth = 6, narrowest = 1, width = 64, inputs = 64, replicas = 5, batch_size = 130;
};

rc::Gen<Example> examples(const Limits& limits) {
  const auto places = rc::gen::element(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  return rc::gen::mapcat(places, [limits](BatchNormPlace batch_norm) {
    const std::int64_t least = batch_norm == BatchNormPlace::none ? 1 : 2;  // images
    const auto layer = rc::gen::pair(between(limits.narrowest, limits.width), exponent(30));
    const auto layers = rc::gen::mapcat(between<std::int64_t>(1, limits.depth), [layer](std::int64_t depth) {
      return rc::gen::container<std::vector<std::pair<std::int64_t, int>>>(static_cast<std::size_t>(depth),
                                                                           layer);
    });
    const auto l2 = rc::gen::element(std::vector<double>{0.0}, std::vector<double>{0.7},
                                     std::vector<double>{0.1, 0.0, 30.0});
    return rc::gen::build<Example>(
        rc::gen::set(&Example::inputs, between<std::int64_t>(1, limits.inputs)),
        rc::gen::set(&Example::classes, between<std::int64_t>(2, 12)), rc::gen::set(&Example::hidden, layers),
        rc::gen::set(&Example::last_scale, exponent(30)),
        rc::gen::set(&Example::largest_logit, between(0, 40)),
        rc::gen::set(&Example::batch_norm, rc::gen::just(batch_norm)),
        rc::gen::set(&Example::zero_biases, rc::gen::arbitrary<bool>()),
        rc::gen::set(&Example::replicas, between<std::int64_t>(1, limits.replicas)),
        rc::gen::set(&Example::batch_size, between<std::int64_t>(least, limits.batch_size)),
        rc::gen::set(&Example::zero_inputs, between(0, 4)),
        rc::gen::set(&Example::layout, rc::gen::element(Layout::contiguous, Layout::transposed,
                                                        Layout::every_other_column, Layout::every_other_row)),
        rc::gen::set(&Example::l2, l2), rc::gen::set(&Example::seed, rc::gen::arbitrary<std::uint64_t>()));
  });
}

class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}

  Tensor normal(at::IntArrayRef shape) { return at::randn(shape, generator_, at::kDouble); }
  Tensor uniform(at::IntArrayRef shape) { return at::rand(shape, generator_, at::kDouble); }
  Tensor labels(std::int64_t count, std::int64_t classes) {
    return at::randint(0, classes, {count}, generator_, at::TensorOptions().dtype(at::kLong));
  }

 private:
  at::Generator generator_;
};

// The same values with the strides of `layout`, and NaN in what lies between.
Tensor with_layout(const Tensor& values, Layout layout) {
  const auto strided = [&](std::int64_t dim) {
    std::vector<std::int64_t> sizes = values.sizes().vec();
    sizes[static_cast<std::size_t>(dim)] *= 2;
    const Tensor view = at::full(sizes, std::nan(""), values.options()).slice(dim, 0, sizes[dim], 2);
    return view.copy_(values);
  };
  switch (layout) {
    case Layout::transposed:
      return values.t().contiguous().t();
    case Layout::every_other_column:
      return strided(1);
    case Layout::every_other_row:
      return strided(0);
    default:
      return values;
  }
}

// What rounding errors grow with, from a forward pass of the test's own.
struct Condition {
  double largest_logit = 0;
  // x̂ = (x − μ) / √(v + ε) has the rounding errors of μ / √(v + ε), and each layer passes on what the one
  // before left: the product, over the layers, of the largest ratio of a feature (where above 1).
  double mean_over_std = 1;
};

Condition condition_of(const Parameters& parameters, BatchNormPlace place, std::int64_t r, const Tensor& x) {
  Condition condition;
  Tensor features = x;
  for (std::size_t l = 0; l < parameters.weight.size(); ++l) {
    features = F::linear(features, parameters.weight[l][r], parameters.bias[l][r]);
    if (l + 1 == parameters.weight.size()) break;
    if (place != BatchNormPlace::before) features = F::relu(features);
    if (place == BatchNormPlace::none) continue;
    const Tensor mean = features.mean(0);
    const Tensor std = (features.var(0, false) + batch_norm_eps).sqrt();
    condition.mean_over_std *= std::max(1.0, (mean / std).abs().max().item<double>());
    features = (features - mean) / std * parameters.gamma[l][r] + parameters.beta[l][r];
    if (place == BatchNormPlace::before) features = F::relu(features);
  }
  condition.largest_logit = features.abs().max().item<double>();
  return condition;
}

void fill(Network& network, const Example& example, const Tensor& x, Numbers& numbers) {
  Parameters& parameters = network.parameters;
  for (std::size_t l = 0; l < parameters.weight.size(); ++l) {
    const bool last = l == example.hidden.size();
    const double scale = power_of_ten(last ? example.last_scale : example.hidden[l].second);
    const double of_inputs = std::sqrt(static_cast<double>(parameters.weight[l].size(2)));
    parameters.weight[l].copy_(numbers.normal(parameters.weight[l].sizes()) * scale / of_inputs);
    parameters.bias[l].copy_(numbers.normal(parameters.bias[l].sizes()) * (example.zero_biases ? 0 : scale));
    if (last || example.batch_norm == BatchNormPlace::none) continue;
    parameters.gamma[l].copy_((1 + 0.5 * numbers.normal(parameters.gamma[l].sizes())) * scale);
    parameters.beta[l].copy_(numbers.normal(parameters.beta[l].sizes()) * (example.zero_biases ? 0 : scale));
  }
  // Large weights in every layer would let the logits grow without bound.
  for (std::int64_t r = 0; r < example.replicas; ++r) {
    const double largest = condition_of(parameters, example.batch_norm, r, x).largest_logit;
    const double allowed = power_of_ten(example.largest_logit);
    if (largest <= allowed) continue;
    parameters.weight.back()[r].mul_(allowed / largest);
    parameters.bias.back()[r].mul_(allowed / largest);
  }
}

std::vector<double> l2_of(const Example& example) {
  std::vector<double> values;
  for (std::int64_t r = 0; r < example.replicas; ++r) {
    values.push_back(example.l2[static_cast<std::size_t>(r) % example.l2.size()]);
  }
  return values;
}

// What the examples were like, to see that they were not all harmless.
struct Coverage {
  int batch_norm = 0, deepest = 0, widest = 0, most_replicas = 0, odd_strides = 0, logits_above_1000 = 0;
  int batch_norm_before = 0, deep_batch_norm = 0;
};

void equals_autograd(const Example& example, Coverage& coverage) {
  const at::NoGradGuard no_grad;
  Numbers numbers(example.seed);
  Tensor x = numbers.normal({example.batch_size, example.inputs});
  x.masked_fill_(numbers.uniform(x.sizes()) < example.zero_inputs / 4.0, 0);
  const Tensor labels = numbers.labels(example.batch_size, example.classes);
  const Tensor targets = at::one_hot(labels, example.classes).to(at::kDouble).unsqueeze(1);
  Network network(example.architecture(), example.replicas, at::kDouble);
  fill(network, example, x, numbers);
  double largest_logit = 0;
  for (std::int64_t r = 0; r < example.replicas; ++r) {
    const Condition condition = condition_of(network.parameters, example.batch_norm, r, x);
    // Where a batch hardly differs in a feature, x̂ is noise, and so is the reference.
    RC_PRE(condition.mean_over_std <= 1e3);
    largest_logit = std::max(largest_logit, condition.largest_logit);
  }
  const int depth = static_cast<int>(example.hidden.size());
  const bool batch_norm = example.batch_norm != BatchNormPlace::none;
  coverage.batch_norm += batch_norm ? 1 : 0;
  coverage.batch_norm_before += example.batch_norm == BatchNormPlace::before ? 1 : 0;
  coverage.deepest += depth == 6 ? 1 : 0;
  coverage.deep_batch_norm += batch_norm && depth >= 4 ? 1 : 0;
  for (const auto& layer : example.hidden) coverage.widest += layer.first > 48 ? 1 : 0;
  coverage.most_replicas += example.replicas == 5 ? 1 : 0;
  coverage.odd_strides += example.layout != Layout::contiguous ? 1 : 0;
  coverage.logits_above_1000 += largest_logit > 1000 ? 1 : 0;

  const L2 l2(l2_of(example), network.parameters);
  Workspace workspace(network, example.batch_size, Use::training);
  Tensor loss = at::full({example.replicas}, std::nan(""), at::kDouble);
  network.gradients.flat.fill_(std::nan(""));
  network.forward_backward(workspace, with_layout(x, example.layout), targets, l2, &loss);

  const auto actual = network.gradients.views();
  const double tolerance = batch_norm ? 1e-10 : 1e-12;
  for (std::int64_t r = 0; r < example.replicas; ++r) {
    const ReferenceNetwork reference(network.architecture(), network.parameters, r);
    const double l2_of_r = l2.per_replica[static_cast<std::size_t>(r)];
    const auto expected = reference.gradients(x, labels, l2_of_r);
    const auto rounding = reference.rounding(x, labels, l2_of_r, 0x1p-36, example.seed);
    RC_ASSERT(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      const double error = (actual[i][r] - expected[i]).norm().item<double>();
      if (error <= tolerance * rounding[i]) continue;  // not so for NaN
      std::ostringstream message;
      message << "tensor " << i << " " << expected[i].sizes() << " of network " << r
              << ": ‖difference‖ = " << error << ", of the reference " << expected[i].norm().item<double>()
              << ", of its rounding " << rounding[i];
      RC_FAIL(message.str());
    }
    // A loss is the difference of a logit and of a sum that is as large.
    const double expected_loss = reference.loss(x, labels, 0.0).item<double>();
    RC_ASSERT(std::abs(loss[r].item<double>() - expected_loss) <=
              tolerance * std::max({1.0, expected_loss, largest_logit}));
  }
}

// Reproducible, unless RC_PARAMS in the environment asks for other networks or for more of them.
template <typename Property>
void check_property(int count, const Property& property) {
  setenv("RC_PARAMS", "seed=20150211 max_success=200", 0);
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = params.maxSuccess * count / 200;
  const auto result = rc::detail::checkTestable(property, rc::detail::TestMetadata(), params);
  std::ostringstream message;
  rc::detail::printResultMessage(result, message);
  INFO(message.str());
  REQUIRE(result.template is<rc::detail::SuccessResult>());
}

}  // namespace

TEST_CASE("200 random networks: every gradient equals autograd's", "[random]") {
  Coverage coverage;
  check_property(200, [&] { equals_autograd(*examples(Limits()), coverage); });
  CHECK(coverage.batch_norm >= 50);
  CHECK(coverage.batch_norm_before >= 30);
  CHECK(coverage.deepest >= 10);
  CHECK(coverage.deep_batch_norm >= 10);
  CHECK(coverage.widest >= 50);
  CHECK(coverage.most_replicas >= 10);
  CHECK(coverage.odd_strides >= 100);
  CHECK(coverage.logits_above_1000 >= 10);
}

// Scales of order 1, where finite differences resolve the loss; no width of 1, where a unit that is off would
// leave nothing to compare.
TEST_CASE("10 small random networks: every gradient equals finite differences", "[random]") {
  Limits limits;
  limits.depth = 3;
  limits.narrowest = 2;
  limits.width = limits.inputs = 8;
  limits.replicas = 3;
  limits.batch_size = 33;
  check_property(10, [&] {
    const Example example = *examples(limits);
    GradcheckOptions options;
    options.architecture = example.architecture();
    options.replicas = example.replicas;
    options.batch_size = example.batch_size;
    options.l2 = example.l2.front();
    options.seed = example.seed;
    const GradientReport report = gradcheck(options);
    for (const GradientCheck& check : report.checks) {
      if (check.verdict() != Verdict::failed) continue;
      std::ostringstream message;
      message << check.pair << ", " << check.tensor << ": against autograd "
              << check.autograd_error.value_or(0) << ", against finite differences "
              << check.finite_difference_error.value_or(0);
      RC_FAIL(message.str());
    }
    RC_ASSERT(report.passed());
  });
}
