// Trained networks as they are kept in files.
#include "handgrad/models/model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/deskew.h"
#include "handgrad/data/pixels.h"
#include "handgrad/files/json_check.h"
#include "handgrad/platform/system.h"

namespace handgrad {

namespace {

constexpr const char* scaled_pictures = "scaled";

[[noreturn]] void refuse(const std::string& file, const std::string& reason) {
  throw ModelError(fmt::format("{}: {}", printable(file), reason));
}

Model new_model(const Architecture& architecture, std::int64_t networks, ModelInfo info) {
  Model model;
  model.network = std::make_unique<Network>(architecture, networks, at::kFloat);
  model.info = std::move(info);
  return model;
}

// ReLU where the file says nothing.
Activation activation_in(const std::string& file, const Metadata& metadata) {
  const auto found = metadata.find("activation");
  if (found == metadata.end()) return Activation::relu;
  const auto* name = std::find(std::begin(activation_names), std::end(activation_names), found->second);
  if (name == std::end(activation_names)) {
    refuse(file, fmt::format("its metadata has the activation {}; known are {}",
                             printable_excerpt(found->second), fmt::join(activation_names, ", ")));
  }
  return static_cast<Activation>(name - std::begin(activation_names));
}

// Where the layers' names tell it, there; else where the metadata say; else after the activation.
BatchNormPlace batch_norm_place_in(const std::string& file, const LayerNames& first,
                                   const Metadata& metadata) {
  if (!first.batch_norm) return BatchNormPlace::none;
  const std::optional<BatchNormPlace> told = first.batch_norm_place;
  const auto found = metadata.find("batch_norm");
  if (found == metadata.end()) return told.value_or(BatchNormPlace::after);
  for (const BatchNormPlace place : {BatchNormPlace::after, BatchNormPlace::before}) {
    if (found->second != name_of(place)) continue;
    if (told.value_or(place) == place) return place;
    refuse(file,
           fmt::format("its metadata has batch norm {}, but by the numbers in its names it stands {} the "
                       "activation",
                       name_of(place), name_of(*told)));
  }
  refuse(file, fmt::format("its metadata has batch norm {}; known are after and before",
                           printable_excerpt(found->second)));
}

Architecture architecture_of(const std::string& file, const std::vector<LayerNames>& layers,
                             const std::map<std::string, Tensor>& tensors) {
  const auto weight = [&](const LayerNames& layer) {
    return tensors.at(tensor_name(layer.linear, "weight"));
  };
  Architecture architecture;
  architecture.inputs = weight(layers.front()).size(1);
  architecture.classes = weight(layers.back()).size(0);
  architecture.hidden.clear();
  for (std::size_t l = 0; l + 1 < layers.size(); ++l)
    architecture.hidden.push_back(weight(layers[l]).size(0));
  try {
    validate(architecture, 1);
  } catch (const ArgumentError& error) {
    refuse(file, error.what());
  }
  return architecture;
}

void check_values(const std::string& file, const std::string& name, const Tensor& tensor) {
  if (!at::isfinite(tensor).all().item<bool>()) {
    refuse(file, fmt::format("{} holds a number that is not finite in float32; train again",
                             printable_excerpt(name)));
  }
  const bool is_variance = name.size() > 4 && name.compare(name.size() - 4, 4, "_var") == 0;
  if (is_variance && tensor.lt(0).any().item<bool>()) {
    refuse(file, fmt::format("{} holds a negative variance; the file is damaged", printable_excerpt(name)));
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
    refuse(file,
           fmt::format("its metadata has {} for {}, which is not a number", printable_excerpt(text), key));
  }
  return value;
}

// What a file calls the classes of so many. Throws ModelError for other text than a list of different names.
ClassNames class_names_in(const std::string& file, const Metadata& metadata, std::int64_t classes) {
  constexpr std::size_t longest_name = 1020;  // of 255 bytes that all are written as \xNN
  const auto found = metadata.find("class_names");
  if (found == metadata.end()) return {};
  ClassNames names;
  const bool good = check_json(found->second, 1).good;
  const nlohmann::json list = good ? nlohmann::json::parse(found->second, nullptr, false) : nlohmann::json();
  for (const nlohmann::json& name : list.is_array() ? list : nlohmann::json::array()) {
    if (name.is_string()) names.push_back(visible(name.get_ref<const std::string&>()));
  }
  const std::set<std::string> different(names.begin(), names.end());
  const bool too_long = std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.empty() || name.size() > longest_name;
  });
  if (static_cast<std::int64_t>(different.size()) == classes && names.size() == list.size() &&
      different.size() == names.size() && !too_long) {
    return names;
  }
  refuse(file, fmt::format("its metadata has {} for class_names, which is not a list of {} different names",
                           printable_excerpt(found->second), classes));
}

}  // namespace

std::string describe(const Architecture& architecture, bool deskew) {
  return architecture.description() + (deskew ? ", on deskewed images" : "");
}

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
  const std::string first = describe(architecture, models.front().info.deskew);
  Model joined = new_model(architecture, count, models.front().info);
  for (std::int64_t r = 0; r < count; ++r) {
    const Network& network = *models[static_cast<std::size_t>(r)].network;
    const std::string its = describe(network.architecture(), models[static_cast<std::size_t>(r)].info.deskew);
    if (its != first) {
      throw ModelError(
          fmt::format("the networks differ, {} and {}; an ensemble needs equal ones", its, first));
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

Model model_from_tensors(const std::string& file, const NamedTensors& tensors, FileOrder order,
                         const Metadata& metadata) {
  std::vector<NamedShape> shapes;
  std::map<std::string, Tensor> by_name;
  for (const auto& [name, tensor] : tensors) {
    shapes.push_back({name, tensor.sizes().vec()});
    by_name[name] = tensor;
  }
  const std::vector<LayerNames> layers = find_layers(file, shapes, order);
  Architecture architecture = architecture_of(file, layers, by_name);
  architecture.activation = activation_in(file, metadata);
  architecture.batch_norm = batch_norm_place_in(file, layers.front(), metadata);
  Model model = new_model(architecture, 1, {});
  const auto fill = [&](const Tensor& target, const std::string& module, const char* leaf) {
    const std::string name = tensor_name(module, leaf);
    const Tensor& source = by_name.at(name);
    if (!source.is_floating_point()) {
      refuse(file, fmt::format("{} holds no floating-point numbers, which a network is made of",
                               printable_excerpt(name)));
    }
    target.copy_(source.unsqueeze(0));
    check_values(file, name, target);
  };
  const Parameters& parameters = model.network->parameters;
  const RunningStatistics& running = model.network->running;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    fill(parameters.weight[l], layers[l].linear, "weight");
    fill(parameters.bias[l], layers[l].linear, "bias");
    if (!layers[l].batch_norm) continue;
    fill(parameters.gamma[l], *layers[l].batch_norm, "weight");
    fill(parameters.beta[l], *layers[l].batch_norm, "bias");
    fill(running.mean[l], *layers[l].batch_norm, "running_mean");
    fill(running.var[l], *layers[l].batch_norm, "running_var");
  }
  model.info = info_from(file, metadata, architecture.inputs, architecture.classes);
  return model;
}

Metadata metadata_of(const Model& model) {
  const Architecture& architecture = model.network->architecture();
  Metadata metadata = {{"producer", "handgrad " + version()},
                       {"architecture", architecture.description()},
                       {"rows", std::to_string(model.info.shape.rows)},
                       {"columns", std::to_string(model.info.shape.columns)},
                       {"classes", std::to_string(architecture.classes)}};
  if (architecture.activation != Activation::relu) {
    metadata["activation"] = name_of(architecture.activation);
  }
  if (architecture.has_batch_norm() && architecture.batch_norm != BatchNormPlace::after) {
    metadata["batch_norm"] = name_of(architecture.batch_norm);
  }
  if (!model.info.training_config.empty()) metadata["training_config"] = model.info.training_config;
  if (model.info.test_accuracy) metadata["test_accuracy"] = fmt::format("{}", *model.info.test_accuracy);
  if (model.info.batch_norm_folded) metadata["batch_norm_folded"] = "true";
  if (model.info.deskew) metadata["deskew"] = "true";
  if (!model.info.class_names.empty())
    metadata["class_names"] = nlohmann::json(model.info.class_names).dump();
  if (model.info.of_pictures) metadata["pictures"] = scaled_pictures;
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

ModelInfo info_from(const std::string& file, const Metadata& metadata, std::int64_t inputs,
                    std::int64_t classes) {
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
  const auto is_true = [&](const char* key) {
    const auto found = metadata.find(key);
    return found != metadata.end() && found->second == "true";
  };
  info.batch_norm_folded = is_true("batch_norm_folded");
  info.deskew = is_true("deskew");
  info.class_names = class_names_in(file, metadata, classes);
  const auto pictures = metadata.find("pictures");
  info.of_pictures = pictures != metadata.end() && pictures->second == scaled_pictures;
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
  architecture.batch_norm = BatchNormPlace::none;
  Model folded = new_model(architecture, from.replicas(), model.info);
  folded.info.batch_norm_folded = true;
  const std::vector<Affine> affines = batch_norm_affines(from);
  const bool before = from.architecture().batch_norm == BatchNormPlace::before;
  for (std::size_t l = 0; l < from.parameters.weight.size(); ++l) {
    Tensor weight = from.parameters.weight[l].to(at::kDouble);
    Tensor bias = from.parameters.bias[l].to(at::kDouble);
    if (before && l < affines.size()) {
      bias = bias * affines[l].scale + affines[l].shift;
      weight = weight * affines[l].scale.unsqueeze(2);
    } else if (!before && l > 0 && !affines.empty()) {
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
    Workspace workspace(*model.network, part.size(0), Use::evaluation);
    Tensor images = at::empty(part.sizes(), at::kFloat);
    scale_pixels(images, model.info.deskew ? deskewed(part, model.info.shape) : part);
    model.network->forward(workspace, images, Use::evaluation);
    parts.push_back(at::softmax(workspace.logits(), -1).mean(1));
  }
  return at::cat(parts);
}

}  // namespace handgrad
