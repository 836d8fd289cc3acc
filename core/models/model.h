// Trained networks as they are kept in files: their tensors under the names of the equal PyTorch model, and
// what is known of them. Every file format is written from a Model and read into one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handgrad/data/class_names.h"
#include "handgrad/data/image_shape.h"
#include "handgrad/models/layer_names.h"
#include "handgrad/nn/network.h"

namespace handgrad {

struct ModelInfo {
  ImageShape shape;                     // of the images
  std::string training_config;          // the settings that it was trained with, a JSON object; "": unknown
  std::optional<double> test_accuracy;  // 0 to 1, on the test set that belongs to its training
  bool batch_norm_folded = false;       // it was trained with batch norm, which its weights now hold
  bool deskew = false;                  // its network takes images as deskewed() makes them
  ClassNames class_names = {};          // one for each class; none: nobody named them
  bool of_pictures = false;             // it was trained on whole pictures, as scaled_picture() makes them
};

struct Model {
  std::unique_ptr<Network> network;  // float32, on the CPU; several networks are an ensemble
  ModelInfo info;
};

// What a network is, for people: "784-20-7-5-10 + batch norm, on deskewed images".
std::string describe(const Architecture& architecture, bool deskew);

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// Network `replica` by itself, copied.
Model model_of(const Network& network, std::int64_t replica, ModelInfo info);

// The networks of all models side by side, with the first one's info.
// Throws ModelError where their architectures differ.
Model join_models(const std::vector<Model>& models);

// The tensors of the only network: contiguous, float32, on the CPU, in the order of the layers.
NamedTensors tensors_of(const Model& model);

// What a file says of a model besides its tensors, as text by key: producer, architecture, rows, columns,
// classes; activation for another than ReLU, batch_norm for another place than after it; where known
// training_config, test_accuracy, class_names (JSON); pictures, "scaled", where it was trained on such; and
// batch_norm_folded and deskew where they are true.
using Metadata = std::map<std::string, std::string>;

// The network with these tensors of any floating type, whose layers find_layers tells by names and shapes;
// where these leave it open, metadata say whether batch norm stands before the activation, else it stands after.
// `file` is what messages call it. Throws ModelError where it does not, and for numbers that are not finite
// or, of a running variance, negative; and what info_from throws.
Model model_from_tensors(const std::string& file, const NamedTensors& tensors, FileOrder order,
                         const Metadata& metadata = {});

Metadata metadata_of(const Model& model);

// The same as a JSON object, and back. A text that is no such object gives no metadata.
std::string to_json(const Metadata& metadata);
Metadata metadata_from_json(const std::string& json);

// What metadata says of a network of so many inputs and classes, whoever wrote it; the shape of a flat vector
// where it names none. Throws ModelError where it contradicts the network or itself.
ModelInfo info_from(const std::string& file, const Metadata& metadata, std::int64_t inputs,
                    std::int64_t classes);

// The same function without batch norm: evaluation's γ (x − μ) / √(v + ε) + β = a x + c is affine, so that a
// linear layer computes it too: behind an activation the next one, with W' = W diag(a), b' = b + W c; before the
// activation that of x = W … + b, with W' = diag(a) W, b' = a b + c. In float64, rounded once.
// Throws ModelError where the new weights leave float32.
Model fold_batch_norm(const Model& model);

// a and c of each hidden layer, [R,F], float64.
struct Affine {
  Tensor scale, shift;
};
std::vector<Affine> batch_norm_affines(const Network& network);

// pixels [N,inputs], uint8, as they are in files → probabilities [N,C], of an ensemble the mean over its
// networks.
Tensor probabilities(const Model& model, const Tensor& pixels);

}  // namespace handgrad
