// The gradient certificate is checked itself: it passes what is right and finds every fault that is planted.
#include "handgrad/check/gradcheck.h"

#include <cmath>
#include <limits>
#include <set>

#include "check/rows.h"
#include "handgrad/base/errors.h"
#include "test.h"

using namespace handgrad;

namespace {

const double nan_value = std::numeric_limits<double>::quiet_NaN();
const double infinity = std::numeric_limits<double>::infinity();

bool within(const std::optional<double>& error, double tolerance) {
  return error && *error <= tolerance;
}

bool of_whole_network(const GradientCheck& check) {
  return check.pair.rfind("network, ", 0) == 0;
}

// Whether batch norm right behind it takes out whatever the bias adds.
bool is_taken_out(const GradientCheck& check, const Architecture& architecture) {
  const std::string last = "layer " + std::to_string(architecture.linear_layers()) + " bias";
  return architecture.batch_norm == BatchNormPlace::before && check.tensor != last &&
         check.tensor.find(" bias") != std::string::npos;
}

// Those that finite differences alone would have failed.
Rows rows_failing_by_differences(const GradientReport& report) {
  Rows rows;
  for (const GradientCheck& check : report.checks) {
    if (check.finite_difference_error &&
        !within(check.finite_difference_error, check.finite_difference_tolerance)) {
      rows.insert(row(check));
    }
  }
  return rows;
}

// Square layers, so that a transposed weight still fits; two batch sizes, 12 and a ragged 8.
GradcheckOptions square_layers(BatchNormPlace batch_norm, std::int64_t replicas = 1) {
  GradcheckOptions options;
  options.architecture = {4, {4, 4}, 3, batch_norm};
  options.batch_size = 12;
  options.replicas = replicas;
  return options;
}

// The rows of these tensors at both batch sizes of square_layers().
Rows network_rows(const Rows& tensors) {
  Rows rows;
  for (const std::string& tensor : tensors) {
    rows.insert("network, 12 images: " + tensor);
    rows.insert("network, 8 images: " + tensor);
  }
  return rows;
}

// In the order of Parameters::views().
std::vector<std::string> tensors_of_square_layers(BatchNormPlace batch_norm) {
  std::vector<std::string> names = {"layer 1 weight", "layer 2 weight", "layer 3 weight",
                                    "layer 1 bias",   "layer 2 bias",   "layer 3 bias"};
  if (batch_norm != BatchNormPlace::none)
    names.insert(names.end(), {"layer 1 γ", "layer 2 γ", "layer 1 β", "layer 2 β"});
  return names;
}

const Rows scale_invariance = {"batch norm, layer 1: ⟨W,dW⟩+⟨b,db⟩ = 0",
                               "batch norm, layer 2: ⟨W,dW⟩+⟨b,db⟩ = 0"};

Rows operator+(Rows a, const Rows& b) {
  a.insert(b.begin(), b.end());
  return a;
}

// Both references find the fault, each on its own, in these rows and in no other.
void check_found(const GradcheckOptions& options, const Rows& rows, const Rows& invariants = {}) {
  const GradientReport report = gradcheck(options);
  CHECK_FALSE(report.passed());
  CHECK(failing_rows(report) == rows + invariants);
  CHECK(rows_failing_by_differences(report) == rows);
}

using Spoil = std::function<void(Network&, std::int64_t batch_size, const L2&)>;

// The library's gradients of the whole network, spoilt.
GradcheckSubject::Gradients spoilt(const Spoil& spoil) {
  return
      [spoil](Network& network, Workspace& workspace, const Tensor& x, const Tensor& targets, const L2& l2) {
        network.forward_backward(workspace, x, targets, l2);
        spoil(network, x.size(0), l2);
      };
}

// The element of largest or smallest magnitude of the last network.
Tensor element(const Tensor& gradients, bool largest) {
  const Tensor flat = gradients.select(0, gradients.size(0) - 1).view(-1);
  const Tensor magnitude = flat.abs();
  return flat[(largest ? magnitude.argmax() : magnitude.argmin()).item<std::int64_t>()];
}

GradientCheck good_check() {
  GradientCheck check;
  check.pair = "pair";
  check.tensor = "tensor";
  check.autograd_error = 1e-13;
  check.finite_difference_error = 1e-7;
  check.autograd_tolerance = 1e-12;
  check.finite_difference_tolerance = 1e-6;
  check.points = 100;
  return check;
}

}  // namespace

TEST_CASE("gradcheck: the library passes, within the tolerances that are promised", "[gradcheck]") {
  struct Setting {
    std::vector<std::int64_t> hidden;
    BatchNormPlace batch_norm;
    std::int64_t replicas, batch_size;
    at::ScalarType dtype;
  };
  const std::vector<std::int64_t> standard = {20, 7, 5};
  const BatchNormPlace none = BatchNormPlace::none;
  const BatchNormPlace after = BatchNormPlace::after;
  const BatchNormPlace before = BatchNormPlace::before;
  const auto setting = GENERATE_COPY(
      Setting{standard, none, 1, 32, at::kDouble}, Setting{standard, none, 3, 33, at::kDouble},
      Setting{standard, none, 1, 7, at::kDouble}, Setting{standard, none, 3, 1, at::kDouble},
      Setting{standard, after, 1, 32, at::kDouble}, Setting{standard, after, 3, 33, at::kDouble},
      Setting{standard, after, 3, 7, at::kDouble}, Setting{standard, after, 1, 2, at::kDouble},
      Setting{standard, after, 3, 3, at::kDouble}, Setting{standard, after, 3, 4, at::kDouble},
      Setting{standard, before, 1, 32, at::kDouble}, Setting{standard, before, 3, 33, at::kDouble},
      Setting{standard, before, 3, 7, at::kDouble}, Setting{standard, before, 1, 2, at::kDouble},
      Setting{standard, before, 3, 3, at::kDouble}, Setting{standard, before, 1, 32, at::kFloat},
      Setting{standard, before, 3, 33, at::kFloat}, Setting{{}, none, 1, 32, at::kDouble},
      Setting{{}, after, 3, 7, at::kDouble}, Setting{standard, none, 1, 32, at::kFloat},
      Setting{standard, none, 3, 33, at::kFloat}, Setting{standard, after, 1, 32, at::kFloat},
      Setting{standard, after, 3, 33, at::kFloat}, Setting{{}, none, 3, 7, at::kFloat});
  CAPTURE(setting.hidden, name_of(setting.batch_norm), setting.replicas, setting.batch_size,
          at::toString(setting.dtype));
  GradcheckOptions options;
  options.architecture = {784, setting.hidden, 10, setting.batch_norm};
  options.replicas = setting.replicas;
  options.batch_size = setting.batch_size;
  options.dtype = setting.dtype;

  const GradientReport report = gradcheck(options);
  CHECK(failing_rows(report) == Rows{});
  CHECK(report.passed());

  // The tolerances of the report could be widened; these cannot.
  const bool float64 = setting.dtype == at::kDouble;
  const double autograd_tolerance = !float64 ? 1e-4 : setting.batch_norm != none ? 1e-10 : 1e-12;
  for (const GradientCheck& check : report.checks) {
    if (!of_whole_network(check)) continue;
    CAPTURE(row(check));
    // Two or three images leave so little of a gradient before batch norm that differences may not show it.
    const bool few_images = setting.batch_norm != none && setting.batch_size <= 4;
    CHECK((check.decidable || few_images));
    if (few_images) continue;
    CHECK(within(check.autograd_error, autograd_tolerance));
    CHECK(within(check.finite_difference_error, float64 ? 1e-6 : 1e-4));
    CHECK(check.cosine.has_value() != is_taken_out(check, options.architecture));
    CHECK(check.cosine.value_or(1) == Approx(1).epsilon(float64 ? 1e-12 : 1e-6));
  }
}

TEST_CASE("gradcheck: no pair, tensor or batch size is left out", "[gradcheck]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const GradientReport report = gradcheck(square_layers(batch_norm, 3));
  Rows expected;
  for (const char* linear : {"linear 4 → 4", "linear 4 → 3"}) {
    for (const char* tensor : {": dx", ": dweight", ": dbias"}) expected.insert(std::string(linear) + tensor);
  }
  expected.insert({"ReLU 4: dx", "softmax cross entropy: dlogits", "L2 penalty: dweight"});
  for (const std::string& tensor : tensors_of_square_layers(batch_norm)) {
    expected = expected + network_rows({tensor});
  }
  if (batch_norm != BatchNormPlace::none) {
    expected.insert({"batch norm 4: dx", "batch norm 4: dγ", "batch norm 4: dβ", "batch norm 4: Σ dx = 0",
                     "batch norm 4: Σ dx·x̂ = 0"});
    expected = expected + scale_invariance;
  }
  Rows actual;
  for (const GradientCheck& check : report.checks) {
    actual.insert(row(check));
    CAPTURE(row(check));
    const bool invariant = check.tensor.find(" = 0") != std::string::npos;
    CHECK(check.autograd_error.has_value());
    CHECK(check.finite_difference_error.has_value() == !invariant);
    CHECK((check.points > 0) == !invariant);
    CHECK_FALSE(check.shape.empty());
  }
  CHECK(actual == expected);
  CHECK(report.passed());
}

TEST_CASE("gradcheck: a batch that batch norm or anything else cannot take is refused", "[gradcheck]") {
  GradcheckOptions options = square_layers(BatchNormPlace::after);
  options.batch_size = 1;
  CHECK_THROWS_AS(gradcheck(options), ArgumentError);
  options.architecture.batch_norm = BatchNormPlace::none;
  options.batch_size = 0;
  CHECK_THROWS_AS(gradcheck(options), ArgumentError);
  options.batch_size = 8;
  options.architecture.hidden = {4, 0};
  CHECK_THROWS_AS(gradcheck(options), ArgumentError);
}

TEST_CASE("gradcheck finds a fault in linear_backward", "[gradcheck]") {
  GradcheckOptions options = square_layers(BatchNormPlace::none);
  const Rows dweight = {"linear 4 → 4: dweight", "linear 4 → 3: dweight"};
  const Rows dbias = {"linear 4 → 4: dbias", "linear 4 → 3: dbias"};
  auto& backward = options.subject.linear_backward;
  SECTION("a sign of the bias") {
    options.subject.bias_backward = [](Tensor& dbias, const Tensor& dy) {
      bias_backward(dbias, dy);
      dbias.neg_();
    };
    check_found(options, dbias);
  }
  SECTION("the weight transposed") {
    backward = [](Tensor* dx, Tensor* dweight, const Matrix& dy, const Tensor& x, const Matrix& weight) {
      linear_backward(dx, dweight, dy, x, weight);
      if (weight.m.size(0) == weight.m.size(1)) dx->copy_(dy.m.mm(weight.t));
    };
    check_found(options, {"linear 4 → 4: dx"});
  }
  SECTION("the gradient of the weight transposed") {
    backward = [](Tensor* dx, Tensor* dweight, const Matrix& dy, const Tensor& x, const Matrix& weight) {
      linear_backward(dx, dweight, dy, x, weight);
      if (weight.m.size(0) == weight.m.size(1)) dweight->copy_(dweight->t().clone());
    };
    check_found(options, {"linear 4 → 4: dweight"});
  }
  SECTION("0.1 % too large, also in float32") {
    options.dtype = GENERATE(at::kDouble, at::kFloat);
    backward = [](Tensor* dx, Tensor* dweight, const Matrix& dy, const Tensor& x, const Matrix& weight) {
      linear_backward(dx, dweight, dy, x, weight);
      dweight->mul_(1.001);
    };
    check_found(options, dweight);
  }
  SECTION("an output that is not written") {
    options.subject.bias_backward = [](Tensor& dbias, const Tensor& dy) {
      Tensor elsewhere = at::empty_like(dbias);
      bias_backward(elsewhere, dy);
    };
    check_found(options, dbias);
  }
  SECTION("an output that is added to") {
    backward = [](Tensor* dx, Tensor* dweight, const Matrix& dy, const Tensor& x, const Matrix& weight) {
      const Tensor before = dweight->clone();
      linear_backward(dx, dweight, dy, x, weight);
      dweight->add_(before);
    };
    check_found(options, dweight);
  }
}

TEST_CASE("gradcheck finds ReLU's derivative taken at the wrong tensor", "[gradcheck]") {
  GradcheckOptions options = square_layers(BatchNormPlace::none);
  options.subject.activation_backward = [](Activation, Tensor& dx, const Tensor& dy, const Tensor&) {
    dx.copy_(at::where(dy > 0, dy, 0.0));
  };
  check_found(options, {"ReLU 4: dx"});
}

TEST_CASE("gradcheck: every activation passes, with and without batch norm", "[gradcheck]") {
  const auto activation = GENERATE(Activation::leaky_relu, Activation::tanh);
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  const bool normalised = batch_norm != BatchNormPlace::none;
  const auto dtype = GENERATE(at::kDouble, at::kFloat);
  GradcheckOptions options;
  options.architecture = {784, {20, 7, 5}, 10, batch_norm, activation};
  options.replicas = 3;
  options.batch_size = 33;
  options.dtype = dtype;
  CAPTURE(static_cast<int>(activation), name_of(batch_norm), at::toString(dtype));
  const GradientReport report = gradcheck(options);
  CHECK(failing_rows(report) == Rows{});
  CHECK(report.passed());
  std::int64_t of_activation = 0;
  for (const GradientCheck& check : report.checks) {
    if (check.pair.rfind(title_of(activation), 0) == 0) {
      ++of_activation;
      // tanh has no kink, so that no slope is left out.
      if (activation == Activation::tanh) CHECK(check.skipped == 0);
    }
    if (!of_whole_network(check)) continue;
    CAPTURE(row(check));
    CHECK(within(check.autograd_error, dtype == at::kFloat ? 1e-4 : normalised ? 1e-10 : 1e-12));
    CHECK(within(check.finite_difference_error, dtype == at::kFloat ? 1e-4 : 1e-6));
    if (activation == Activation::tanh) CHECK(check.skipped == 0);
  }
  CHECK(of_activation == 3);
  // Scaling a unit changes what tanh gives out: with batch norm behind that, the invariant is none.
  const bool invariant =
      std::any_of(report.checks.begin(), report.checks.end(),
                  [](const GradientCheck& check) { return check.tensor == "⟨W,dW⟩+⟨b,db⟩ = 0"; });
  CHECK(invariant ==
        (normalised && (activation == Activation::leaky_relu || batch_norm == BatchNormPlace::before)));
}

TEST_CASE("gradcheck finds a wrong derivative of each activation", "[gradcheck]") {
  const auto activation = GENERATE(Activation::relu, Activation::leaky_relu, Activation::tanh);
  GradcheckOptions options = square_layers(BatchNormPlace::none);
  options.architecture.activation = activation;
  options.subject.activation_backward = [](Activation of, Tensor& dx, const Tensor& dy, const Tensor& y) {
    activation_backward(of, dx, dy, y);
    if (of == Activation::tanh) {
      dx.copy_(dy * (1 - y));  // the square forgotten
    } else {
      dx.copy_(at::where(y > 0, dx, dx + 0.001 * dy));  // another slope on the left
    }
  };
  check_found(options, {std::string(title_of(activation)) + " 4: dx"});
}

TEST_CASE("gradcheck finds a fault in batch_norm_backward", "[gradcheck]") {
  const auto place = GENERATE(BatchNormPlace::after, BatchNormPlace::before);
  GradcheckOptions options = square_layers(place, GENERATE(1, 3));
  auto& backward = options.subject.batch_norm_backward;
  SECTION("left out of the backward pass") {
    backward = [](Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x_hat,
                  const Tensor& inverse_std, const Tensor& gamma, const BatchSum& sum) {
      batch_norm_backward(dx, dgamma, dbeta, dy, x_hat, inverse_std, gamma, sum);
      dx.copy_(dy);
    };
    check_found(options, {"batch norm 4: dx"}, {"batch norm 4: Σ dx = 0", "batch norm 4: Σ dx·x̂ = 0"});
  }
  SECTION("mean and variance taken for constants") {
    backward = [](Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x_hat,
                  const Tensor& inverse_std, const Tensor& gamma, const BatchSum& sum) {
      batch_norm_backward(dx, dgamma, dbeta, dy, x_hat, inverse_std, gamma, sum);
      dx.copy_(dy * gamma * inverse_std);
    };
    check_found(options, {"batch norm 4: dx"}, {"batch norm 4: Σ dx = 0", "batch norm 4: Σ dx·x̂ = 0"});
  }
  SECTION("the unbiased variance in 1/√(v + ε)") {
    backward = [](Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x_hat,
                  const Tensor& inverse_std, const Tensor& gamma, const BatchSum& sum) {
      const auto n = static_cast<double>(dy.size(0));
      batch_norm_backward(dx, dgamma, dbeta, dy, x_hat, inverse_std * std::sqrt((n - 1) / n), gamma, sum);
    };
    check_found(options, {"batch norm 4: dx"});
  }
  SECTION("N − 1 beneath dγ") {
    backward = [](Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x_hat,
                  const Tensor& inverse_std, const Tensor& gamma, const BatchSum& sum) {
      batch_norm_backward(dx, dgamma, dbeta, dy, x_hat, inverse_std, gamma, sum);
      const auto n = static_cast<double>(dy.size(0));
      dx.copy_(gamma * inverse_std * (dy - dbeta / n - x_hat * dgamma / (n - 1)));
    };
    check_found(options, {"batch norm 4: dx"}, {"batch norm 4: Σ dx·x̂ = 0"});
  }
  SECTION("γ's gradient without the normalised input") {
    backward = [](Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x_hat,
                  const Tensor& inverse_std, const Tensor& gamma, const BatchSum& sum) {
      batch_norm_backward(dx, dgamma, dbeta, dy, x_hat, inverse_std, gamma, sum);
      dgamma.copy_(dbeta);
    };
    check_found(options, {"batch norm 4: dγ"});
  }
}

TEST_CASE("gradcheck finds 1/N missing or taken twice", "[gradcheck]") {
  GradcheckOptions options = square_layers(BatchNormPlace::none);
  SECTION("missing in softmax cross entropy") {
    options.subject.softmax_cross_entropy_backward = [](Tensor& dlogits, const Tensor& probabilities,
                                                        const Tensor& targets, std::int64_t) {
      dlogits.copy_(probabilities - targets);
    };
    check_found(options, {"softmax cross entropy: dlogits"});
  }
  SECTION("twice in softmax cross entropy") {
    options.subject.softmax_cross_entropy_backward = [](Tensor& dlogits, const Tensor& probabilities,
                                                        const Tensor& targets, std::int64_t n) {
      softmax_cross_entropy_backward(dlogits, probabilities, targets, n);
      dlogits.div_(dlogits.size(0));
    };
    check_found(options, {"softmax cross entropy: dlogits"});
  }
  SECTION("missing or twice in the L2 penalty") {
    const bool missing = GENERATE(true, false);
    options.subject.l2_penalty_backward =
        missing ? [](Tensor& dweight, const Tensor& weight, const Tensor& l2,
                     std::int64_t) { l2_penalty_backward(dweight, weight, l2, 1); }
                : [](Tensor& dweight, const Tensor& weight, const Tensor& l2, std::int64_t batch_size) {
                    l2_penalty_backward(dweight, weight, l2, batch_size * batch_size);
                  };
    check_found(options, {"L2 penalty: dweight"});
  }
  SECTION("missing or twice in the whole network") {
    const bool missing = GENERATE(true, false);
    options.subject.network_gradients =
        spoilt([missing](Network& network, std::int64_t batch_size, const L2&) {
          const auto n = static_cast<double>(batch_size);
          network.gradients.flat.mul_(missing ? n : 1 / n);
        });
    const auto tensors = tensors_of_square_layers(BatchNormPlace::none);
    check_found(options, network_rows({tensors.begin(), tensors.end()}));
  }
}

TEST_CASE("gradcheck finds a fault in the L2 penalty", "[gradcheck]") {
  GradcheckOptions options = square_layers(BatchNormPlace::none, GENERATE(1, 3));
  const Rows weights = network_rows({"layer 1 weight", "layer 2 weight", "layer 3 weight"});
  SECTION("missing, in the pair") {
    options.subject.l2_penalty_backward = [](Tensor&, const Tensor&, const Tensor&, std::int64_t) {};
    check_found(options, {"L2 penalty: dweight"});
  }
  SECTION("overwriting the gradient of the data loss") {
    options.subject.network_gradients = spoilt([](Network& network, std::int64_t batch_size, const L2& l2) {
      network.gradients.weights.zero_();
      for (std::size_t l = 0; l < network.gradients.weight.size(); ++l) {
        const Tensor lambda = at::tensor(l2.per_replica).to(at::kDouble).view({-1, 1, 1});
        network.gradients.weight[l].add_(network.parameters.weight[l] * lambda /
                                         static_cast<double>(batch_size));
      }
    });
    check_found(options, weights);
  }
  SECTION("missing, in the network") {
    options.subject.network_gradients = [](Network& network, Workspace& workspace, const Tensor& x,
                                           const Tensor& targets, const L2& l2) {
      const std::vector<double> none(l2.per_replica.size(), 0.0);
      network.forward_backward(workspace, x, targets, L2(none, network.parameters));
    };
    check_found(options, weights);
  }
  SECTION("on the biases too") {
    options.subject.network_gradients = spoilt([](Network& network, std::int64_t batch_size, const L2& l2) {
      for (std::size_t l = 0; l < network.gradients.bias.size(); ++l) {
        const Tensor lambda = at::tensor(l2.per_replica).to(at::kDouble).view({-1, 1});
        network.gradients.bias[l].add_(network.parameters.bias[l] * lambda / static_cast<double>(batch_size));
      }
    });
    check_found(options, network_rows({"layer 1 bias", "layer 2 bias", "layer 3 bias"}));
  }
  SECTION("with the λ of another network") {
    options.replicas = 3;
    options.subject.network_gradients = [](Network& network, Workspace& workspace, const Tensor& x,
                                           const Tensor& targets, const L2& l2) {
      const std::vector<double> reversed(l2.per_replica.rbegin(), l2.per_replica.rend());
      network.forward_backward(workspace, x, targets, L2(reversed, network.parameters));
    };
    check_found(options, weights);
  }
}

TEST_CASE("gradcheck finds the notebook's backward pass, which leaves out batch norm", "[gradcheck]") {
  const auto place = GENERATE(BatchNormPlace::after, BatchNormPlace::before);
  GradcheckOptions options = square_layers(place, GENERATE(1, 3));
  options.network.batch_norm.backward = false;
  // The last layer stands behind every batch norm: its gradients are right.
  check_found(options,
              network_rows({"layer 1 weight", "layer 2 weight", "layer 1 bias", "layer 2 bias", "layer 1 γ",
                            "layer 2 γ", "layer 1 β", "layer 2 β"}),
              scale_invariance);
}

TEST_CASE("gradcheck finds a fault in one tensor of the whole network, and names the tensor",
          "[gradcheck][planted]") {
  const auto place = GENERATE(BatchNormPlace::after, BatchNormPlace::before);
  GradcheckOptions options = square_layers(place, 3);
  const auto tensors = tensors_of_square_layers(place);
  const auto index = GENERATE_COPY(range(std::size_t{0}, tensors.size()));
  // Signs and factors are no fault in what is 0; what is, is planted there by itself.
  if (place == BatchNormPlace::before && (index == 3 || index == 4)) return;
  const Rows rows = network_rows({tensors[index]});
  CAPTURE(tensors[index]);
  const auto spoil = [&](const std::function<void(const Tensor&)>& how) {
    options.subject.network_gradients = spoilt(
        [how, index](Network& network, std::int64_t, const L2&) { how(network.gradients.views()[index]); });
  };
  // What is wrong in a weight or bias before batch norm also breaks the invariant there.
  const auto check_named = [&] {
    const GradientReport report = gradcheck(options);
    CHECK_FALSE(report.passed());
    for (const std::string& failing : failing_rows(report)) {
      CAPTURE(failing);
      CHECK((rows.count(failing) == 1 || scale_invariance.count(failing) == 1));
    }
    for (const std::string& expected : rows) CHECK(failing_rows(report).count(expected) == 1);
    return report;
  };
  SECTION("a sign") {
    spoil([](const Tensor& gradient) { gradient.neg_(); });
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
  SECTION("0.1 % too large") {
    spoil([](const Tensor& gradient) { gradient.mul_(1.001); });
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
  SECTION("the largest element of one network wrong by 1 %") {
    spoil([](const Tensor& gradient) { element(gradient, true).mul_(1.01); });
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
  SECTION("the smallest element of one network wrong by a billionth of the whole") {
    // Less than finite differences resolve: this one is autograd's to find.
    spoil([](const Tensor& gradient) { element(gradient, false).add_(gradient.norm() * 1e-9); });
    CHECK(rows_failing_by_differences(check_named()) == Rows{});
  }
  SECTION("NaN in one element") {
    spoil([](const Tensor& gradient) { element(gradient, false).fill_(nan_value); });
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
  SECTION("NaN in one element of the first network of three") {
    spoil([](const Tensor& gradient) { gradient.view(-1)[0].fill_(nan_value); });
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
  SECTION("infinity in one element") {
    spoil([](const Tensor& gradient) { element(gradient, false).fill_(infinity); });
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
  SECTION("each network has the gradient of the one before") {
    spoil([](const Tensor& gradient) { gradient.copy_(gradient.roll(1, 0)); });
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
  SECTION("not written") {
    options.subject.network_gradients = [index](Network& network, Workspace& workspace, const Tensor& x,
                                                const Tensor& targets, const L2& l2) {
      const Tensor before = network.gradients.views()[index].clone();
      network.forward_backward(workspace, x, targets, l2);
      network.gradients.views()[index].copy_(before);
    };
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
  SECTION("added to what was there") {
    options.subject.network_gradients = [index](Network& network, Workspace& workspace, const Tensor& x,
                                                const Tensor& targets, const L2& l2) {
      const Tensor before = network.gradients.views()[index].clone();
      network.forward_backward(workspace, x, targets, l2);
      network.gradients.views()[index].add_(before);
    };
    CHECK(rows_failing_by_differences(check_named()) == rows);
  }
}

TEST_CASE("gradcheck finds a fault in a gradient that is 0, of a bias which batch norm takes out",
          "[gradcheck][planted]") {
  GradcheckOptions options = square_layers(BatchNormPlace::before, 3);
  options.dtype = GENERATE(at::kDouble, at::kFloat);
  const auto layer = GENERATE(std::size_t{0}, std::size_t{1});
  const Rows rows = network_rows({"layer " + std::to_string(layer + 1) + " bias"});
  const GradientReport good = gradcheck(options);
  for (const GradientCheck& check : good.checks) {
    if (!is_taken_out(check, options.architecture)) continue;
    CAPTURE(row(check));
    CHECK(check.verdict() == Verdict::passed);
    CHECK_FALSE(check.cosine);
  }
  SECTION("a thousandth of what the layer's other shift has, which is taken out by nothing") {
    options.subject.network_gradients = spoilt([layer](Network& network, std::int64_t, const L2&) {
      network.gradients.bias[layer].add_(network.gradients.beta[layer], 0.001);
    });
    const Rows failing = failing_rows(gradcheck(options));
    for (const std::string& expected : rows) CHECK(failing.count(expected) == 1);
  }
  SECTION("NaN in one element") {
    options.subject.network_gradients = spoilt([layer](Network& network, std::int64_t, const L2&) {
      network.gradients.bias[layer].view(-1)[0].fill_(nan_value);
    });
    const Rows failing = failing_rows(gradcheck(options));
    for (const std::string& expected : rows) CHECK(failing.count(expected) == 1);
  }
}

TEST_CASE("gradcheck finds all networks reading the one before", "[gradcheck]") {
  GradcheckOptions options = square_layers(BatchNormPlace::after, 3);
  options.subject.network_gradients = spoilt([](Network& network, std::int64_t, const L2&) {
    for (const Tensor& gradient : network.gradients.views()) gradient.copy_(gradient.roll(1, 0));
  });
  const auto tensors = tensors_of_square_layers(BatchNormPlace::after);
  check_found(options, network_rows({tensors.begin(), tensors.end()}), scale_invariance);
}

TEST_CASE("gradients are compared with those of our own on the CPU where that is asked for", "[gradcheck]") {
  const auto batch_norm = GENERATE(BatchNormPlace::none, BatchNormPlace::after, BatchNormPlace::before);
  GradcheckOptions options = square_layers(batch_norm, 2);
  options.against_cpu = true;
  CHECK(gradcheck(options).passed());
  options.subject.network_gradients =
      spoilt([](Network& network, std::int64_t, const L2&) { network.gradients.weight[1].mul_(1 + 1e-8); });
  const Rows failing = failing_rows(gradcheck(options));
  CHECK(failing.count("network, 12 images on the CPU: layer 2 weight") == 1);
  CHECK(failing.count("network, 8 images on the CPU: layer 2 weight") == 1);
  CHECK(failing.count("network, 8 images on the CPU: layer 1 weight") == 0);
}

TEST_CASE("a gradient check passes on evidence alone, and no NaN is evidence", "[gradcheck]") {
  CHECK(good_check().verdict() == Verdict::passed);
  SECTION("no evidence fails") {
    GradientCheck check = good_check();
    check.autograd_error.reset();
    CHECK(check.verdict() == Verdict::passed);
    check.finite_difference_error.reset();
    CHECK(check.verdict() == Verdict::failed);
    CHECK(GradientCheck().verdict() == Verdict::failed);
  }
  SECTION("one bad error fails beside a good one, decidable or not") {
    const double error = GENERATE(1e-3, nan_value, infinity);
    GradientCheck check = good_check();
    check.decidable = GENERATE(true, false);
    check.autograd_error = error;
    CHECK(check.verdict() == Verdict::failed);
    check.autograd_error = good_check().autograd_error;
    check.finite_difference_error = error;
    CHECK(check.verdict() == Verdict::failed);
  }
  SECTION("a tolerance that is not set or NaN lets nothing through") {
    const double tolerance = GENERATE(0.0, nan_value);
    GradientCheck check = good_check();
    check.autograd_tolerance = tolerance;
    CHECK(check.verdict() == Verdict::failed);
  }
  SECTION("what cannot be decided neither passes nor fails") {
    GradientCheck check = good_check();
    check.decidable = false;
    CHECK(check.verdict() == Verdict::undecided);
  }
}

TEST_CASE("a gradient report passes when something was proven and nothing failed", "[gradcheck]") {
  CHECK_FALSE(GradientReport().passed());
  GradientReport report;
  report.checks = {good_check(), good_check(), good_check()};
  report.checks[1].skipped = 2;
  CHECK(report.passed());
  CHECK(report.points() == 300);
  CHECK(report.skipped() == 2);
  CHECK(report.count(Verdict::passed) == 3);
  SECTION("one failing check") {
    report.checks[1].autograd_error = nan_value;
    CHECK(report.count(Verdict::failed) == 1);
    CHECK_FALSE(report.passed());
  }
  SECTION("some that cannot be decided") {
    report.checks[1].decidable = false;
    CHECK(report.count(Verdict::undecided) == 1);
    CHECK(report.passed());
  }
  SECTION("none that can be decided") {
    for (GradientCheck& check : report.checks) check.decidable = false;
    CHECK_FALSE(report.passed());
  }
}
