// Trained networks as TorchScript files.
#include "export.h"

#include <fmt/format.h>
#include <torch/script.h>

#include <map>
#include <sstream>

#include "errors.h"
#include "file.h"

namespace handgrad {

namespace {

// The module's methods, in TorchScript. dtype 0 is uint8, which the language has no name for here.
std::string source(const Architecture& architecture) {
  std::string text =
      "def logits(self, pixels: Tensor) -> Tensor:\n"
      "    assert pixels.dtype == 0 or pixels.is_floating_point(), \"pixels must be uint8 or floating "
      "point\"\n"
      "    x = pixels.float()\n"
      "    if pixels.dtype == 0:\n"
      "        x = x.div(255)\n"
      "    x = x.flatten(1)\n";
  const auto modules_per_layer = architecture.batch_norm ? 3 : 2;
  for (int64_t l = 0; l < architecture.layers(); ++l) {
    const int64_t index = l * modules_per_layer;
    text += fmt::format("    m = getattr(self, \"{}\")\n    x = torch.linear(x, m.weight, m.bias)\n", index);
    if (l + 1 == architecture.layers()) break;
    text += "    x = torch.relu(x)\n";
    if (architecture.batch_norm) {
      text += fmt::format(
          "    n = getattr(self, \"{}\")\n"
          "    x = torch.batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, False, 0.0, {}, "
          "False)\n",
          index + 2, batch_norm_eps);
    }
  }
  return text +
         "    return x\n"
         "def forward(self, pixels: Tensor) -> Tensor:\n"
         "    return torch.softmax(self.logits(pixels), -1)\n";
}

// LibTorch's messages hold a stack trace: what happened stands in the first line, of a running script in the
// last.
std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

std::string last_line(const std::exception& error) {
  std::string text = error.what();
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

void save_torchscript(const std::filesystem::path& path, const Network& network, std::int64_t replica,
                      ImageShape shape) {
  torch::jit::Module module("handgrad");
  std::map<std::string, torch::jit::Module> children;
  const auto tensors = named_tensors(network.architecture(), network.parameters, network.running, replica);
  for (const auto& [name, tensor] : tensors) {
    const auto dot = name.find('.');
    const auto [child, is_new] = children.try_emplace(name.substr(0, dot), "layer_" + name.substr(0, dot));
    const std::string leaf = name.substr(dot + 1);
    const bool is_buffer = leaf.rfind("running_", 0) == 0;
    child->second.register_parameter(leaf, tensor.detach().to(at::kCPU, at::kFloat, false, true), is_buffer);
  }
  for (const auto& [name, child] : children) module.register_module(name, child);
  module.register_attribute("rows", c10::IntType::get(), shape.rows);
  module.register_attribute("columns", c10::IntType::get(), shape.columns);
  module.register_attribute("classes", c10::IntType::get(), network.architecture().classes);
  module.define(source(network.architecture()));
  module.eval();
  std::ostringstream file;
  module.save(file);
  write_file(path, file.str());
}

struct TorchScriptModel::Module {
  mutable torch::jit::Module script;  // running a method is not const in LibTorch
};

TorchScriptModel::TorchScriptModel(const std::filesystem::path& path) : module_(std::make_unique<Module>()) {
  std::error_code unreadable;
  if (!std::filesystem::is_regular_file(path, unreadable)) {
    throw FileError(
        fmt::format("{}: is not a file that can be read; name a run directory or a model.pt", path.string()));
  }
  try {
    module_->script = torch::jit::load(path.string());
  } catch (const std::exception& error) {
    throw ModelError(fmt::format("{}: not a TorchScript file that LibTorch can read ({})", path.string(),
                                 first_line(error)));
  }
  for (const char* name : {"rows", "columns", "classes"}) {
    if (!module_->script.hasattr(name) || !module_->script.attr(name).isInt()) {
      throw ModelError(
          fmt::format("{}: has no number `{}`, so it was not written by handgrad", path.string(), name));
    }
  }
  if (!module_->script.find_method("logits")) {
    throw ModelError(
        fmt::format("{}: has no method `logits`, so it was not written by handgrad", path.string()));
  }
  shape_ = {module_->script.attr("rows").toInt(), module_->script.attr("columns").toInt()};
  classes_ = module_->script.attr("classes").toInt();
}

TorchScriptModel::~TorchScriptModel() = default;
TorchScriptModel::TorchScriptModel(TorchScriptModel&&) noexcept = default;

std::vector<Tensor> TorchScriptModel::weights() const {
  std::map<int, Tensor> by_layer;  // the names are "0.weight", "2.weight", …, "10.weight"
  for (const auto& parameter : module_->script.named_parameters()) {
    const bool is_weight = parameter.value.dim() == 2;  // batch norm's γ has one axis
    if (is_weight) by_layer[std::stoi(parameter.name)] = parameter.value.detach();
  }
  std::vector<Tensor> weights;
  for (const auto& [layer, weight] : by_layer) weights.push_back(weight);
  return weights;
}

Tensor TorchScriptModel::log_probabilities(const Tensor& pixels) const {
  const at::NoGradGuard no_grad;
  try {
    return at::log_softmax(module_->script.get_method("logits")({pixels}).toTensor(), -1);
  } catch (const std::exception& error) {
    throw ModelError(fmt::format("the model failed on these images ({})", last_line(error)));
  }
}

}  // namespace handgrad
