// The gradient certificate far from the default setting: right gradients are never called wrong, and every
// planted fault is found wherever the check claims to decide.
#include <cmath>
#include <limits>
#include <set>

#include "handgrad/check/gradcheck.h"
#include "test.h"
#include "train/storage_counter.h"

using namespace handgrad;

namespace {

constexpr BatchNormPlace none = BatchNormPlace::none;
constexpr BatchNormPlace after = BatchNormPlace::after;
constexpr BatchNormPlace before = BatchNormPlace::before;

enum class Images { random, zero, all_alike, one_differs };

struct NetworkSetting {
  const char* name;
  std::vector<std::int64_t> hidden;
  BatchNormPlace batch_norm = none;
  std::int64_t batch_size = 32, replicas = 1;
  double l2 = 0.01;
  at::ScalarType dtype = at::kDouble;
  Images images = Images::random;
  NetworkOptions network = {};
  std::int64_t inputs = 12;
};

std::vector<NetworkSetting> settings() {
  NetworkOptions notebook_eps;
  notebook_eps.batch_norm.eps = 1e-8;
  std::vector<NetworkSetting> all = {
      {"large batch", {5}, none, 2000},
      {"large batch, batch norm", {5, 4}, after, 2000},
      {"large batch, no hidden layer", {}, none, 4096},
      {"one image", {5, 4}, none, 1},
      {"two images, batch norm", {7, 5}, after, 2},
      {"three images, batch norm", {7, 5}, after, 3},
      {"no penalty", {7, 5}, none, 32, 1, 0},
      {"large penalty", {7, 5}, none, 32, 1, 1e3},
      {"huge penalty", {7, 5}, none, 32, 3, 1e6},
      {"huge penalty, batch norm", {7, 5}, after, 32, 1, 1e6},
      {"layers of one", {1, 1, 1}},
      {"layers of one, four networks", {1, 1, 1}, none, 32, 4},
      {"layers of one, batch norm", {1, 1, 1}, after, 32, 2},
      {"wide", {300}, none, 64},
      {"wide, batch norm", {100, 100}, after, 64},
      {"deep, batch norm", {6, 6, 6, 6, 6, 6}, after},
      {"large batch, batch norm before", {5, 4}, before, 2000},
      {"two images, batch norm before", {7, 5}, before, 2},
      {"huge penalty, batch norm before", {7, 5}, before, 32, 1, 1e6},
      {"layers of one, batch norm before", {1, 1, 1}, before, 32, 2},
      {"deep, batch norm before", {6, 6, 6, 6, 6, 6}, before},
      {"float32", {20, 7}, none, 32, 1, 0.01, at::kFloat},
      {"float32, batch norm", {20, 7}, after, 33, 3, 0.01, at::kFloat},
      {"float32, batch norm before", {20, 7}, before, 33, 3, 0.01, at::kFloat},
      {"float32, large batch", {5}, none, 2000, 1, 0.01, at::kFloat},
      {"float32, large penalty", {7, 5}, none, 32, 1, 1e3, at::kFloat},
      {"float32, two images, batch norm", {7, 5}, after, 2, 1, 0.01, at::kFloat},
      {"float32, layers of one", {1, 1, 1}, none, 32, 1, 0.01, at::kFloat},
  };
  for (const BatchNormPlace batch_norm : {none, after, before}) {
    for (const Images images : {Images::zero, Images::all_alike, Images::one_differs}) {
      all.push_back({"odd images", {7, 5}, batch_norm, 32, 1, 0.01, at::kDouble, images});
    }
  }
  all.push_back(
      {"the notebook's eps", {7, 5}, after, 32, 1, 0.01, at::kDouble, Images::random, notebook_eps});
  return all;
}

GradcheckOptions options_of(const NetworkSetting& setting) {
  GradcheckOptions options;
  options.architecture = {setting.inputs, setting.hidden, 10, setting.batch_norm};
  options.batch_size = setting.batch_size;
  options.replicas = setting.replicas;
  options.l2 = setting.l2;
  options.dtype = setting.dtype;
  options.network = setting.network;
  if (setting.images == Images::random) return options;
  options.images = at::zeros({setting.batch_size, setting.inputs}, at::kDouble);
  if (setting.images == Images::all_alike) options.images.add_(at::arange(setting.inputs, at::kDouble) / 16);
  if (setting.images == Images::one_differs) options.images[0].fill_(1);
  options.labels = at::arange(setting.batch_size, at::kLong).remainder(10);
  return options;
}

// How far an error is beyond its tolerance; NaN counts as infinitely far.
double excess(const std::optional<double>& error, double tolerance) {
  if (!error || *error == 0) return 0;
  return std::isnan(*error) ? std::numeric_limits<double>::infinity() : *error / tolerance;
}

bool of_network(const GradientCheck& check) {
  return check.pair.rfind("network, ", 0) == 0;
}

bool names(const GradientCheck& check, const char* part) {
  return check.tensor.find(part) != std::string::npos;
}

// What is wrong in every gradient, of the pairs and of the network.
struct TooLarge {
  static void spoil(const Tensor& gradient) { gradient.mul_(1.001); }
};
struct LargestFlipped {
  static void spoil(const Tensor& gradient) {
    const Tensor flat = gradient.view(-1);
    flat[flat.abs().argmax().item<std::int64_t>()].neg_();
  }
};
struct NotANumber {
  static void spoil(const Tensor& gradient) { gradient.view(-1)[-1].fill_(std::nan("")); }
};

template <typename Fault>
GradcheckSubject spoilt() {
  GradcheckSubject subject;
  subject.linear_backward = [](Tensor* dx, Tensor* dweight, const Matrix& dy, const Tensor& x,
                               const Matrix& weight) {
    linear_backward(dx, dweight, dy, x, weight);
    Fault::spoil(*dx);
    Fault::spoil(*dweight);
  };
  subject.bias_backward = [](Tensor& dbias, const Tensor& dy) {
    bias_backward(dbias, dy);
    Fault::spoil(dbias);
  };
  subject.activation_backward = [](Activation activation, Tensor& dx, const Tensor& dy, const Tensor& y) {
    activation_backward(activation, dx, dy, y);
    Fault::spoil(dx);
  };
  subject.batch_norm_backward = [](Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy,
                                   const Tensor& x_hat, const Tensor& inverse_std, const Tensor& gamma,
                                   const BatchSum& sum) {
    batch_norm_backward(dx, dgamma, dbeta, dy, x_hat, inverse_std, gamma, sum);
    for (const Tensor& gradient : {dx, dgamma, dbeta}) Fault::spoil(gradient);
  };
  subject.softmax_cross_entropy_backward = [](Tensor& dlogits, const Tensor& p, const Tensor& targets,
                                              std::int64_t n) {
    softmax_cross_entropy_backward(dlogits, p, targets, n);
    Fault::spoil(dlogits);
  };
  subject.l2_penalty_backward = [](Tensor& dweight, const Tensor& weight, const Tensor& l2, std::int64_t m) {
    l2_penalty_backward(dweight, weight, l2, m);
    Fault::spoil(dweight);
  };
  subject.network_gradients = [](Network& network, Workspace& workspace, const Tensor& x,
                                 const Tensor& targets, const L2& l2) {
    network.forward_backward(workspace, x, targets, l2);
    for (const Tensor& gradient : network.gradients.views()) Fault::spoil(gradient);
  };
  return subject;
}

using Spoil = std::function<void(Network&, std::int64_t batch_size, const L2&)>;

GradcheckSubject spoilt_network(const Spoil& spoil) {
  GradcheckSubject subject;
  subject.network_gradients = [spoil](Network& network, Workspace& workspace, const Tensor& x,
                                      const Tensor& targets, const L2& l2) {
    network.forward_backward(workspace, x, targets, l2);
    spoil(network, x.size(0), l2);
  };
  return subject;
}

// (λ/m) times a parameter [R,…].
Tensor pull(const Tensor& parameter, std::int64_t batch_size, const L2& l2) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(parameter.dim()), 1);
  shape[0] = -1;
  return parameter * at::tensor(l2.per_replica).to(parameter.options()).view(shape) /
         static_cast<double>(batch_size);
}

// Runs the check with a fault: rows that the fault touches fail, and so does, by either reference alone, each
// of them that the check claims to decide.
void check_caught(const NetworkSetting& setting, const char* fault, const GradcheckSubject& subject,
                  const std::function<bool(const GradientCheck&)>& touched) {
  CAPTURE(fault);
  GradcheckOptions options = options_of(setting);
  options.subject = subject;
  const GradientReport report = gradcheck(options);
  CHECK_FALSE(report.passed());
  int caught = 0;
  for (const GradientCheck& check : report.checks) {
    if (!check.finite_difference_error || !touched(check)) continue;
    if (check.verdict() == Verdict::failed) ++caught;
    if (!check.decidable) continue;
    CAPTURE(check.pair, check.tensor, *check.autograd_error, check.autograd_tolerance,
            *check.finite_difference_error, check.finite_difference_tolerance);
    CHECK(check.verdict() == Verdict::failed);
    CHECK(excess(check.autograd_error, check.autograd_tolerance) > 1);
    if (check.finite_difference_tolerance <= 1e-3) {  // wider in float32
      CHECK(excess(check.finite_difference_error, check.finite_difference_tolerance) > 1);
    }
  }
  CHECK(caught > 0);
}

}  // namespace

TEST_CASE("gradcheck calls no right gradient wrong, whatever the setting", "[gradcheck][many]") {
  for (const NetworkSetting& setting : settings()) {
    CAPTURE(setting.name, name_of(setting.batch_norm), static_cast<int>(setting.images));
    const GradientReport report = gradcheck(options_of(setting));
    CHECK(report.passed());
    for (const GradientCheck& check : report.checks) {
      CAPTURE(check.pair, check.tensor);
      CHECK(check.verdict() != Verdict::failed);
      CHECK(excess(check.autograd_error, check.autograd_tolerance) <= 0.3);
      CHECK(excess(check.finite_difference_error, check.finite_difference_tolerance) <= 0.3);
    }
  }
}

TEST_CASE("gradcheck finds planted faults, whatever the setting", "[gradcheck][planted]") {
  const auto anything = [](const GradientCheck&) { return true; };
  // A factor is no fault of what is 0, which has no direction.
  const auto not_zero = [](const GradientCheck& check) { return check.cosine || check.points == 0; };
  const auto not_zero_of_network = [](const GradientCheck& check) {
    return of_network(check) && check.cosine.has_value();
  };
  for (const NetworkSetting& setting : settings()) {
    CAPTURE(setting.name, name_of(setting.batch_norm), static_cast<int>(setting.images));
    check_caught(setting, "0.1 % too large", spoilt<TooLarge>(), not_zero);
    check_caught(setting, "largest element with the wrong sign", spoilt<LargestFlipped>(), not_zero);
    check_caught(setting, "an element that is no number", spoilt<NotANumber>(), anything);
    if (setting.batch_size > 1) {
      const auto sum = [](Network& network, std::int64_t n, const L2&) {
        network.gradients.flat.mul_(static_cast<double>(n));
      };
      check_caught(setting, "a sum over the images", spoilt_network(sum), not_zero_of_network);
    }
    if (setting.replicas > 1) {
      const auto roll = [](Network& network, std::int64_t, const L2&) {
        for (const Tensor& gradient : network.gradients.views()) gradient.copy_(gradient.roll(1, 0));
      };
      check_caught(setting, "of the network before", spoilt_network(roll), not_zero_of_network);
    }
    if (setting.l2 >= 1) {
      const auto without = [](Network& network, std::int64_t n, const L2& l2) {
        for (std::size_t l = 0; l < network.gradients.weight.size(); ++l) {
          network.gradients.weight[l].sub_(pull(network.parameters.weight[l], n, l2));
        }
      };
      check_caught(setting, "without the penalty", spoilt_network(without),
                   [](const GradientCheck& check) { return of_network(check) && names(check, "weight"); });
      const auto on_biases = [](Network& network, std::int64_t n, const L2& l2) {
        for (std::size_t l = 0; l < network.gradients.bias.size(); ++l) {
          network.gradients.bias[l].add_(pull(network.parameters.bias[l], n, l2));
        }
      };
      check_caught(setting, "a penalty on the biases", spoilt_network(on_biases),
                   [](const GradientCheck& check) { return of_network(check) && names(check, "bias"); });
    }
  }
}

// What flows back through batch norm is wrong, however little it is.
TEST_CASE("gradcheck finds batch norm taken for a constant, whatever the setting", "[gradcheck][planted]") {
  for (const NetworkSetting& setting : settings()) {
    if (setting.batch_norm == none) continue;
    CAPTURE(setting.name, static_cast<int>(setting.images));
    GradcheckSubject constant;
    constant.batch_norm_backward = [](Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy,
                                      const Tensor& x_hat, const Tensor& inverse_std, const Tensor& gamma,
                                      const BatchSum& sum) {
      batch_norm_backward(dx, dgamma, dbeta, dy, x_hat, inverse_std, gamma, sum);
      dx.copy_(dy * gamma * inverse_std);
    };
    check_caught(setting, "mean and variance taken for constants", constant, [](const GradientCheck& check) {
      return check.pair.rfind("batch norm ", 0) == 0 && check.tensor == "dx";
    });
    NetworkSetting notebook = setting;
    notebook.network.batch_norm.backward = false;
    const std::string last = "layer " + std::to_string(setting.hidden.size() + 1);
    check_caught(notebook, "batch norm left out", GradcheckSubject(), [&](const GradientCheck& check) {
      return of_network(check) && !names(check, last.c_str());
    });
  }
}

TEST_CASE("gradcheck takes the memory that was foretold", "[gradcheck][memory]") {
  const NetworkSetting setting = GENERATE(
      NetworkSetting{"many weights", {300, 300}}, NetworkSetting{"with batch norm", {300, 300}, after},
      NetworkSetting{"a large batch", {20, 7}, none, 2000}, NetworkSetting{"both", {300, 20}, after, 500},
      NetworkSetting{"both, batch norm before", {300, 20}, before, 500},
      NetworkSetting{"no hidden layer", {}, none, 4000}, NetworkSetting{"networks", {40, 40}, after, 64, 12},
      NetworkSetting{"float32", {300}, after, 64, 1, 0.01, at::kFloat});
  GradcheckOptions options = options_of(setting);
  options.architecture.inputs = 200;
  const std::int64_t peak = storages_of([&] { gradcheck(options); }).peak;
  const std::int64_t foretold = gradcheck_bytes(options);
  CAPTURE(setting.name, peak, foretold);
  CHECK(peak <= foretold);
  CHECK(foretold <= 2 * peak);
}

TEST_CASE("gradcheck says what it cannot decide: gradients that vanish beside their rounding",
          "[gradcheck]") {
  const auto undecided = [](const NetworkSetting& setting) {
    std::set<std::string> tensors;
    for (const GradientCheck& check : gradcheck(options_of(setting)).checks) {
      if (check.verdict() != Verdict::undecided) continue;
      CHECK((of_network(check) || names(check, "⟨W,dW⟩")));
      tensors.insert(check.tensor);
    }
    return tensors;
  };
  using Tensors = std::set<std::string>;
  NetworkSetting setting = {"", {7, 5}};
  CHECK(undecided(setting) == Tensors());
  setting.images = Images::zero;  // pixels that are all black move nothing
  CHECK(undecided(setting) == Tensors{"layer 1 weight"});
  // Batch norm takes out what all images have in common, which here is everything.
  setting.batch_norm = after;
  const Tensors first = {"layer 1 weight", "layer 1 bias", "layer 1 γ", "layer 1 β",
                         "layer 2 weight", "layer 2 bias", "layer 2 γ", "⟨W,dW⟩+⟨b,db⟩ = 0"};
  CHECK(undecided(setting) == first);
  setting.images = Images::all_alike;
  CHECK(undecided(setting) == first);
}
