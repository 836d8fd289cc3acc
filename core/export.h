// Trained networks as TorchScript files, out and in. A TorchScript file is a program: load only files you
// trust.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "network.h"

namespace handgrad {

struct ImageShape {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

// Writes network `replica` as a TorchScript module that needs no code of ours, for torch.jit.load in Python
// or C++. forward(pixels) → probabilities [N,C], logits(pixels) → logits [N,C]; pixels [N,1,rows,columns] or
// [N,rows·columns], uint8 in 0-255 or floating point in [0, 1], told apart by dtype alone. Batch norm uses
// the running statistics. Attributes: rows, columns, classes. Throws FileError.
void save_torchscript(const std::filesystem::path& path, const Network& network, std::int64_t replica,
                      ImageShape shape);

// A TorchScript file written by save_torchscript.
class TorchScriptModel {
 public:
  // Throws FileError when there is no such file, ModelError when it is not such a model.
  explicit TorchScriptModel(const std::filesystem::path& path);
  ~TorchScriptModel();
  TorchScriptModel(TorchScriptModel&&) noexcept;
  TorchScriptModel& operator=(TorchScriptModel&&) = delete;

  ImageShape shape() const { return shape_; }
  std::int64_t classes() const { return classes_; }

  // Of each layer, [out,in].
  std::vector<Tensor> weights() const;

  // pixels [N,rows·columns] as above → log probabilities [N,C].
  Tensor log_probabilities(const Tensor& pixels) const;

 private:
  struct Module;  // keeps LibTorch's heavy script header out of this one

  std::unique_ptr<Module> module_;
  ImageShape shape_;
  std::int64_t classes_ = 0;
};

}  // namespace handgrad
