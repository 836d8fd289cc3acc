// Trained networks as TorchScript modules.
#include "handgrad/models/torchscript.h"

#include <fmt/format.h>
#include <torch/script.h>

#include <cmath>
#include <map>
#include <sstream>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"

namespace handgrad {

namespace {

constexpr const char* metadata_file = "metadata.json";

// Beginning of logits(pixels). dtype 0 is uint8, which the language has no name for here.
constexpr const char* check_source =
    "def logits(self, pixels: Tensor) -> Tensor:\n"
    "    assert pixels.dtype == 0 or pixels.is_floating_point(), \"pixels must be uint8 or floating point\"\n";

constexpr const char* scale_source =
    "    x = pixels.float()\n"
    "    if pixels.dtype == 0:\n"
    "        x = x.div(255)\n"
    "    x = x.flatten(1)\n";

// What deskewed() does, to pixels of any dtype that logits takes; a number of 0 to 1 is taken for the nearest
// byte. The image lies in a margin of zeros, one pixel wide. p: the pixels, s: their sums, u: the places.
constexpr const char* deskew_source = R"(
    rows, columns = self.rows, self.columns
    p = pixels.flatten(1)
    if pixels.dtype != 0:
        p = p.mul(255).round().clamp(0, 255)
    p = p.long().view(-1, rows, columns)
    x = torch.arange(columns, device=p.device)
    y = torch.arange(rows, device=p.device)
    m = p.sum([1, 2]).clamp(min=1).double()
    cx = p.mul(x).sum([1, 2]).double() / m
    cy = p.sum([2]).mul(y).sum([1]).double() / m
    xy = p.mul(x).sum([2]).mul(y).sum([1]).double() / m - cx * cy
    yy = p.sum([2]).mul(y * y).sum([1]).double() / m - cy * cy
    slant = (xy / yy.clamp(min=1e-6)).clamp(-1.0, 1.0)
    from_middle = y.double() - (rows - 1) / 2
    along = torch.floor(256 * (slant.unsqueeze(1) * from_middle + (cx - (columns - 1) / 2).unsqueeze(1)) + 0.5).long()
    down = torch.floor(256 * (cy - (rows - 1) / 2) + 0.5).long()
    right = torch.remainder(along, 256).unsqueeze(2)
    below = torch.remainder(down, 256).view(-1, 1, 1)
    left = torch.div(along, 256, rounding_mode="floor").unsqueeze(2) + x
    top = torch.div(down, 256, rounding_mode="floor").unsqueeze(1) + y
    padded = torch.constant_pad_nd(p, [1, 1, 1, 1]).flatten(1)
    corners: List[Tensor] = []
    for dy in range(2):
        for dx in range(2):
            row = (top + (dy + 1)).clamp(0, rows + 1).unsqueeze(2)
            place = row * (columns + 2) + (left + (dx + 1)).clamp(0, columns + 1)
            corners.append(padded.gather(1, place.flatten(1)).view_as(p))
    upper = (256 - right) * corners[0] + right * corners[1]
    lower = (256 - right) * corners[2] + right * corners[3]
    p = torch.div((256 - below) * upper + below * lower + 32768, 65536, rounding_mode="floor")
    x = p.float().div(255).flatten(1)
)";

constexpr const char* forward_source =
    "def forward(self, pixels: Tensor) -> Tensor:\n"
    "    return torch.softmax(self.logits(pixels), -1)\n";

const char* activation_source(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return "torch.relu(x)";
    case Activation::leaky_relu:
      return "torch.leaky_relu(x)";  // its default slope is ours
    case Activation::tanh:
      return "torch.tanh(x)";
  }
  return "";
}

// From x, the scaled pixels, to the logits.
std::string layers_source(const Architecture& architecture) {
  std::string text;
  const std::vector<LayerSpec> layers = architecture.layers();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    switch (layers[i].kind) {
      case LayerSpec::Kind::linear:
        text += fmt::format("    m = getattr(self, \"{}\")\n    x = torch.linear(x, m.weight, m.bias)\n", i);
        break;
      case LayerSpec::Kind::activation:
        text += fmt::format("    x = {}\n", activation_source(layers[i].activation));
        break;
      case LayerSpec::Kind::batch_norm:
        text += fmt::format(
            "    n = getattr(self, \"{}\")\n"
            "    x = torch.batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, False, 0.0, {}, "
            "False)\n",
            i, batch_norm_eps);
        break;
    }
  }
  return text + "    return x\n";
}

// The logarithm of the mean of the networks' probabilities, which is large enough wherever one of them is.
std::string ensemble_source(std::int64_t networks) {
  std::string terms;
  for (std::int64_t r = 0; r < networks; ++r) {
    terms += fmt::format("{}torch.log_softmax(getattr(self, \"{}\").logits(x), -1)", r == 0 ? "" : ", ", r);
  }
  return fmt::format("    return torch.logsumexp(torch.stack([{}]), 0) - {}\n", terms,
                     std::log(static_cast<double>(networks)));
}

void register_layers(torch::jit::Module& module, const Network& network, std::int64_t replica) {
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
}

// LibTorch's messages hold a stack trace: of a running script, what happened stands in the last line.
std::string last_line(const std::exception& error) {
  std::string text = error.what();
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

struct TorchScriptModel::Module {
  mutable torch::jit::Module script;  // running a method is not const in LibTorch
};

TorchScriptModel::TorchScriptModel(const Model& model)
    : module_(new Module{torch::jit::Module("handgrad")}),
      name_("the network"),
      metadata_(metadata_of(model)),
      shape_(model.info.shape),
      classes_(model.network->architecture().classes) {
  const Network& network = *model.network;
  torch::jit::Module& module = module_->script;
  const std::string layers = layers_source(network.architecture());
  if (network.replicas() == 1) {
    register_layers(module, network, 0);
  } else {
    for (std::int64_t r = 0; r < network.replicas(); ++r) {
      torch::jit::Module member(fmt::format("network_{}", r));
      register_layers(member, network, r);
      member.define("def logits(self, x: Tensor) -> Tensor:\n" + layers);
      module.register_module(std::to_string(r), member);
    }
  }
  module.register_attribute("rows", c10::IntType::get(), shape_.rows);
  module.register_attribute("columns", c10::IntType::get(), shape_.columns);
  module.register_attribute("classes", c10::IntType::get(), classes_);
  if (!model.info.training_config.empty()) {
    module.register_attribute("training_config", c10::StringType::get(), model.info.training_config);
  }
  if (model.info.test_accuracy) {
    module.register_attribute("test_accuracy", c10::FloatType::get(), *model.info.test_accuracy);
  }
  if (!model.info.class_names.empty()) {
    module.register_attribute(
        "class_names", c10::ListType::ofStrings(),
        c10::IValue(c10::List<std::string>(c10::ArrayRef<std::string>(model.info.class_names))));
  }
  const std::string body = network.replicas() == 1 ? layers : ensemble_source(network.replicas());
  module.define(std::string(check_source) + (model.info.deskew ? deskew_source : scale_source) + body +
                forward_source);
  module.eval();
}

TorchScriptModel::TorchScriptModel(const std::filesystem::path& path)
    : TorchScriptModel(read_file(path), path.string()) {}

TorchScriptModel::TorchScriptModel(const Bytes& file, const std::string& name)
    : module_(std::make_unique<Module>()), name_(printable(name)) {
  torch::jit::ExtraFilesMap extra_files = {{metadata_file, ""}};
  try {
    std::istringstream stream(std::string(file.begin(), file.end()));
    module_->script = torch::jit::load(stream, at::kCPU, extra_files);
  } catch (const std::exception& error) {
    throw ModelError(
        fmt::format("{}: not a TorchScript file that LibTorch can read ({})", name_, first_line(error)));
  }
  for (const char* number : {"rows", "columns", "classes"}) {
    if (!module_->script.hasattr(number) || !module_->script.attr(number).isInt()) {
      throw ModelError(
          fmt::format("{}: has no number `{}`, so it was not written by handgrad", name_, number));
    }
  }
  for (const char* method : {"logits", "forward"}) {
    if (!module_->script.find_method(method)) {
      throw ModelError(
          fmt::format("{}: has no method `{}`, so it was not written by handgrad", name_, method));
    }
  }
  shape_ = {module_->script.attr("rows").toInt(), module_->script.attr("columns").toInt()};
  classes_ = module_->script.attr("classes").toInt();
  metadata_ = metadata_from_json(extra_files[metadata_file]);
}

TorchScriptModel::~TorchScriptModel() = default;
TorchScriptModel::TorchScriptModel(TorchScriptModel&&) noexcept = default;

std::string TorchScriptModel::serialize() const {
  std::ostringstream file;
  module_->script.save(file, {{metadata_file, to_json(metadata_)}});
  return file.str();
}

ModelInfo TorchScriptModel::info() const {
  return info_from(name_, metadata_, shape_.rows * shape_.columns, classes_);
}

bool TorchScriptModel::deskews() const {
  return info().deskew;
}

ClassNames TorchScriptModel::class_names() const {
  return info().class_names;
}

bool TorchScriptModel::takes_whole_pictures() const {
  return info().of_pictures;
}

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

Model TorchScriptModel::model() const {
  if (const auto networks = metadata_.find("networks"); networks != metadata_.end()) {
    throw ModelError(fmt::format("{}: is an ensemble of {} networks; name the file of a single one", name_,
                                 printable_excerpt(networks->second)));
  }
  NamedTensors tensors;
  for (const auto& parameter : module_->script.named_parameters()) {
    tensors.emplace_back(parameter.name, parameter.value);
  }
  for (const auto& buffer : module_->script.named_buffers()) tensors.emplace_back(buffer.name, buffer.value);
  Metadata metadata = metadata_;
  metadata["rows"] = std::to_string(shape_.rows);
  metadata["columns"] = std::to_string(shape_.columns);
  return model_from_tensors(name_, tensors, FileOrder::arbitrary, metadata);
}

Tensor TorchScriptModel::run(const char* method, const Tensor& pixels) const {
  const at::NoGradGuard no_grad;
  std::vector<Tensor> parts;
  try {
    for (const Tensor& part : pixels.split(evaluation_batch_size)) {
      parts.push_back(module_->script.get_method(method)({part.to(device_)}).toTensor().to(at::kCPU));
    }
  } catch (const std::exception& error) {
    throw ModelError(fmt::format("{}: failed on these images ({})", name_, last_line(error)));
  }
  return at::cat(parts);
}

void TorchScriptModel::to(at::Device device) {
  module_->script.to(device);
  device_ = device;
}

Tensor TorchScriptModel::forward(const Tensor& pixels) const {
  return run("forward", pixels);
}

Tensor TorchScriptModel::log_probabilities(const Tensor& pixels) const {
  return at::log_softmax(run("logits", pixels), -1);
}

}  // namespace handgrad
