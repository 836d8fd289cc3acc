// Trained networks as TorchScript modules, in memory and in files. A TorchScript file is a program: load only
// files you trust. The one place with LibTorch's heavy script header.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "handgrad/files/file.h"
#include "handgrad/models/model.h"

namespace handgrad {

class TorchScriptModel {
 public:
  // A module that needs no code of ours, for torch.jit.load in Python or C++. forward(pixels) → probabilities
  // [N,C], logits(pixels) → logits [N,C]; pixels [N,1,rows,columns] or [N,rows·columns], uint8 in 0-255 or
  // floating point in [0, 1], told apart by dtype alone. Batch norm uses the running statistics. Of several
  // networks the probabilities are the mean, and the logits its logarithm. Attributes: rows, columns,
  // classes; where known training_config (JSON text), test_accuracy and class_names. Parameters have the names of the
  // equal nn.Sequential, of an ensemble behind the number of the network: "0.2.weight".
  explicit TorchScriptModel(const Model& model);

  // A file of such a module; `name` is what messages call it. Throws ModelError when it is not such a model.
  TorchScriptModel(const Bytes& file, const std::string& name);
  // The same, read from disk. Throws FileError when it cannot be read.
  explicit TorchScriptModel(const std::filesystem::path& path);

  ~TorchScriptModel();
  TorchScriptModel(TorchScriptModel&&) noexcept;
  TorchScriptModel& operator=(TorchScriptModel&&) = delete;

  // The bytes of the file; the metadata also lies in it as the extra file metadata.json.
  std::string serialize() const;

  ImageShape shape() const { return shape_; }
  std::int64_t classes() const { return classes_; }
  // Whether the module sets its images upright, as its metadata say.
  bool deskews() const;
  // What the metadata call the classes; none where they do not.
  ClassNames class_names() const;
  // Whether it was trained on whole pictures, scaled.
  bool takes_whole_pictures() const;

  // Of each layer, [out,in]. Of a module of one network.
  std::vector<Tensor> weights() const;

  // The network whose parameters the module has. Throws ModelError where model_from_tensors does, as for an
  // ensemble.
  Model model() const;

  // Moves the module to a device; what it gives out is on the CPU all the same.
  void to(at::Device device);

  // pixels as above → probabilities [N,C], by the module's own forward.
  Tensor forward(const Tensor& pixels) const;

  // pixels [N,rows·columns] as above → log probabilities [N,C], a part of the images at a time.
  Tensor log_probabilities(const Tensor& pixels) const;

 private:
  ModelInfo info() const;
  Tensor run(const char* method, const Tensor& pixels) const;

  struct Module;  // keeps LibTorch's heavy script header out of this one

  std::unique_ptr<Module> module_;
  std::string name_;
  at::Device device_ = at::kCPU;
  Metadata metadata_;
  ImageShape shape_;
  std::int64_t classes_ = 0;
};

}  // namespace handgrad
