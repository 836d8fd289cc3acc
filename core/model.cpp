// Trained networks as they are kept in files.
#include "model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "errors.h"
#include "evaluator.h"
#include "file.h"
#include "json_check.h"
#include "system.h"

namespace handgrad {

namespace {

constexpr std::size_t most_layers = 1000;

std::string shape_text(at::IntArrayRef shape) {
  std::string text;
  for (const std::int64_t size : shape) text += fmt::format("{}{}", text.empty() ? "" : " × ", size);
  return text.empty() ? "a single number" : text;
}

[[noreturn]] void refuse(const std::string& file, const std::string& reason) {
  throw ModelError(fmt::format("{}: {}", printable(file), reason));
}

[[noreturn]] void refuse_names(const std::string& file, const std::string& reason) {
  refuse(file, reason +
                   "; the tensors must be those of nn.Sequential(Linear, ReLU, …, Linear), named 0.weight, "
                   "0.bias, 2.weight, …, or of the same with BatchNorm1d after each ReLU");
}

Model new_model(const Architecture& architecture, std::int64_t networks, ModelInfo info) {
  Model model;
  model.network = std::make_unique<Network>(architecture, networks, at::kFloat);
  model.info = std::move(info);
  return model;
}

// The number before ".weight" where there is nothing else.
std::optional<std::int64_t> weight_index(const std::string& name) {
  std::int64_t index = 0;
  const char* end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data(), end, index);
  const bool good = error == std::errc() && std::string(stopped, end) == ".weight";
  return good ? std::optional(index) : std::nullopt;
}

// What network can have these tensors: from the places and shapes of the matrices alone.
Architecture architecture_of(const std::string& file, const std::map<std::string, Tensor>& tensors) {
  std::map<std::int64_t, Tensor> matrices;
  for (const auto& [name, tensor] : tensors) {
    const auto index = weight_index(name);
    if (index && tensor.dim() == 2) matrices.emplace(*index, tensor);
  }
  if (matrices.empty()) refuse_names(file, "has no matrix 0.weight");
  if (matrices.size() > most_layers) {
    refuse(file, fmt::format("has {} layers, more than the {} that are read", matrices.size(), most_layers));
  }
  const std::int64_t second = matrices.size() == 1 ? 2 : std::next(matrices.begin())->first;
  const std::int64_t spacing = second == 3 ? 3 : 2;
  Architecture architecture;
  architecture.batch_norm = spacing == 3;
  architecture.inputs = matrices.begin()->second.size(1);
  architecture.hidden.clear();
  std::int64_t expected = 0;
  for (const auto& [index, matrix] : matrices) {
    if (index != expected) {
      refuse_names(file, fmt::format("has {}.weight, which is not where a layer can be", index));
    }
    expected += spacing;
    architecture.hidden.push_back(matrix.size(0));
  }
  architecture.classes = architecture.hidden.back();
  architecture.hidden.pop_back();
  try {
    validate(architecture, 1);
  } catch (const ArgumentError& error) {
    refuse(file, error.what());
  }
  return architecture;
}

// The shapes that an architecture gives its tensors, in the order of named_tensors.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> named_shapes(
    const Architecture& architecture) {
  const auto no_memory = at::TensorOptions(at::kMeta).dtype(at::kFloat);
  const Parameters parameters(architecture, 1, no_memory);
  const RunningStatistics running(architecture, 1, no_memory);
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes;
  for (const auto& [name, tensor] : named_tensors(architecture, parameters, running, 0)) {
    shapes.emplace_back(name, tensor.sizes().vec());
  }
  return shapes;
}

bool is_passed_over(const std::string& name) {
  constexpr std::string_view counter = ".num_batches_tracked";
  return name.size() > counter.size() &&
         name.compare(name.size() - counter.size(), counter.size(), counter) == 0;
}

void check_shapes(const std::string& file, const std::map<std::string, Tensor>& tensors,
                  const Architecture& architecture) {
  std::set<std::string> known;
  for (const auto& [name, shape] : named_shapes(architecture)) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) refuse_names(file, fmt::format("has no {}", name));
    if (found->second.sizes() != at::IntArrayRef(shape)) {
      refuse(file, fmt::format("{} is {}, but {} is what the other layers need; the file is damaged or of "
                               "another kind of network",
                               name, shape_text(found->second.sizes()), shape_text(shape)));
    }
    known.insert(name);
  }
  for (const auto& [name, tensor] : tensors) {
    if (known.count(name) > 0 || is_passed_over(name)) continue;
    refuse_names(file, fmt::format("has {}, which {} has no place for", printable_excerpt(name),
                                   architecture.description()));
  }
}

void check_values(const std::string& file, const std::string& name, const Tensor& tensor) {
  if (!at::isfinite(tensor).all().item<bool>()) {
    refuse(file, fmt::format("{} holds a number that is not finite in float32; train again", name));
  }
  const bool is_variance = name.size() > 4 && name.compare(name.size() - 4, 4, "_var") == 0;
  if (is_variance && tensor.lt(0).any().item<bool>()) {
    refuse(file, fmt::format("{} holds a negative variance; the file is damaged", name));
  }
}

// Throws ModelError for anything but a number of this kind in its whole text.
template <typename Number>
std::optional<Number> number_in(const std::string& file, const Metadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  const std::string& text = found->second;
  Number value{};
  const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stopped != text.data() + text.size()) {
    refuse(file, fmt::format("its metadata has {} for {}, which is no number", printable_excerpt(text), key));
  }
  return value;
}

}  // namespace

Model model_of(const Network& network, std::int64_t replica, ModelInfo info) {
  Model model = new_model(network.architecture(), 1, std::move(info));
  const auto from = named_tensors(network.architecture(), network.parameters, network.running, replica);
  const auto to = named_tensors(network.architecture(), model.network->parameters, model.network->running, 0);
  for (std::size_t i = 0; i < to.size(); ++i) to[i].second.copy_(from[i].second);
  return model;
}

Model join_models(const std::vector<Model>& models) {
  const Architecture& architecture = models.front().network->architecture();
  const auto count = static_cast<std::int64_t>(models.size());
  Model joined = new_model(architecture, count, models.front().info);
  for (std::int64_t r = 0; r < count; ++r) {
    const Network& network = *models[static_cast<std::size_t>(r)].network;
    if (network.architecture().description() != architecture.description()) {
      throw ModelError(fmt::format("the networks differ, {} and {}; an ensemble needs equal ones",
                                   architecture.description(), network.architecture().description()));
    }
    const auto from = named_tensors(architecture, network.parameters, network.running, 0);
    const auto to = named_tensors(architecture, joined.network->parameters, joined.network->running, r);
    for (std::size_t i = 0; i < to.size(); ++i) to[i].second.copy_(from[i].second);
  }
  return joined;
}

NamedTensors tensors_of(const Model& model) {
  const Network& network = *model.network;
  NamedTensors tensors = named_tensors(network.architecture(), network.parameters, network.running, 0);
  for (auto& [name, tensor] : tensors) tensor = tensor.contiguous();
  return tensors;
}

Model model_from_tensors(const std::string& file, const std::map<std::string, Tensor>& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (!is_passed_over(name) && !tensor.is_floating_point()) {
      refuse(file,
             fmt::format("{} holds no floating-point numbers, which a network is made of", printable(name)));
    }
  }
  const Architecture architecture = architecture_of(file, tensors);
  check_shapes(file, tensors, architecture);
  Model model = new_model(architecture, 1, {});
  for (const auto& [name, tensor] :
       named_tensors(architecture, model.network->parameters, model.network->running, 0)) {
    tensor.copy_(tensors.at(name));
    check_values(file, name, tensor);
  }
  model.info.shape = {1, architecture.inputs};
  return model;
}

Metadata metadata_of(const Model& model) {
  const Architecture& architecture = model.network->architecture();
  Metadata metadata = {{"producer", "handgrad " + version()},
                       {"architecture", architecture.description()},
                       {"rows", std::to_string(model.info.shape.rows)},
                       {"columns", std::to_string(model.info.shape.columns)},
                       {"classes", std::to_string(architecture.classes)}};
  if (!model.info.training_config.empty()) metadata["training_config"] = model.info.training_config;
  if (model.info.test_accuracy) metadata["test_accuracy"] = fmt::format("{}", *model.info.test_accuracy);
  if (model.info.batch_norm_folded) metadata["batch_norm_folded"] = "true";
  if (model.network->replicas() > 1) metadata["networks"] = std::to_string(model.network->replicas());
  return metadata;
}

std::string to_json(const Metadata& metadata) {
  return nlohmann::json(metadata).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Metadata metadata_from_json(const std::string& json) {
  Metadata metadata;
  if (!check_json(json, 1).good) return metadata;
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, false);
  if (!object.is_object()) return metadata;
  for (const auto& [key, value] : object.items()) {
    if (value.is_string()) metadata[key] = value.get<std::string>();
  }
  return metadata;
}

ModelInfo info_from(const std::string& file, const Metadata& metadata, std::int64_t inputs) {
  ModelInfo info;
  const auto rows = number_in<std::int64_t>(file, metadata, "rows");
  const auto columns = number_in<std::int64_t>(file, metadata, "columns");
  info.shape = {rows.value_or(1), columns.value_or(inputs)};
  const bool possible = info.shape.rows >= 1 && info.shape.columns >= 1 && info.shape.rows <= inputs &&
                        info.shape.columns <= inputs && info.shape.rows * info.shape.columns == inputs;
  if (!possible) {
    refuse(file, fmt::format("its metadata says that images are {} × {}, but the network has {} inputs",
                             info.shape.rows, info.shape.columns, inputs));
  }
  if (const auto config = metadata.find("training_config"); config != metadata.end()) {
    info.training_config = config->second;
  }
  info.test_accuracy = number_in<double>(file, metadata, "test_accuracy");
  if (info.test_accuracy && !(*info.test_accuracy >= 0 && *info.test_accuracy <= 1)) {
    refuse(file, "its metadata has a test_accuracy outside 0 to 1");
  }
  const auto folded = metadata.find("batch_norm_folded");
  info.batch_norm_folded = folded != metadata.end() && folded->second == "true";
  return info;
}

std::vector<Affine> batch_norm_affines(const Network& network) {
  std::vector<Affine> affines;
  for (std::size_t l = 0; l < network.running.mean.size(); ++l) {
    const Tensor variance = network.running.var[l].to(at::kDouble);
    const Tensor scale = network.parameters.gamma[l].to(at::kDouble) / (variance + batch_norm_eps).sqrt();
    const Tensor shift = network.parameters.beta[l] - network.running.mean[l].to(at::kDouble) * scale;
    affines.push_back({scale, shift});
  }
  return affines;
}

Model fold_batch_norm(const Model& model) {
  const Network& from = *model.network;
  Architecture architecture = from.architecture();
  architecture.batch_norm = false;
  Model folded = new_model(architecture, from.replicas(), model.info);
  folded.info.batch_norm_folded = true;
  const std::vector<Affine> affines = batch_norm_affines(from);
  for (std::size_t l = 0; l < from.parameters.weight.size(); ++l) {
    Tensor weight = from.parameters.weight[l].to(at::kDouble);
    Tensor bias = from.parameters.bias[l].to(at::kDouble);
    if (l > 0 && !affines.empty()) {
      bias = bias + at::matmul(weight, affines[l - 1].shift.unsqueeze(-1)).squeeze(-1);
      weight = weight * affines[l - 1].scale.unsqueeze(1);
    }
    folded.network->parameters.weight[l].copy_(weight);
    folded.network->parameters.bias[l].copy_(bias);
  }
  if (!at::isfinite(folded.network->parameters.flat).all().item<bool>()) {
    throw ModelError("fold_batch_norm", "numbers would leave float32; leave it out");
  }
  return folded;
}

Tensor probabilities(const Model& model, const Tensor& pixels) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  std::vector<Tensor> parts;
  for (const Tensor& part : pixels.split(evaluation_batch_size)) {
    Workspace workspace(*model.network, part.size(0), Workspace::Use::evaluation);
    Tensor images = at::empty(part.sizes(), at::kFloat);
    scale_pixels(images, part);
    model.network->forward(workspace, images, Workspace::Use::evaluation);
    parts.push_back(at::softmax(workspace.logits(), -1).mean(1));
  }
  return at::cat(parts);
}

}  // namespace handgrad
