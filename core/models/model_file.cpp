// Model files of every kind that can be read back.
#include "handgrad/models/model_file.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/file.h"
#include "handgrad/models/safetensors.h"
#include "handgrad/models/state_dict.h"
#include "handgrad/models/stored_tensor.h"

namespace handgrad {

namespace {

Model parse_safetensors_model(std::string_view file, const std::string& name) {
  const Safetensors contents = parse_safetensors(file, name);
  NamedTensors tensors;
  for (const StoredTensor& stored : contents.tensors) {
    const Tensor tensor = as_tensor(stored);
    // Of what is no floating-point number the model only asks for the shape.
    const auto no_memory = at::TensorOptions(at::kMeta).dtype(at::kByte);
    tensors.emplace_back(stored.name, tensor.defined() ? tensor : at::empty(stored.shape, no_memory));
  }
  // Writers of the format sort by type and name.
  return model_from_tensors(name, tensors, FileOrder::arbitrary, contents.metadata);
}

bool is_torchscript_file(const Bytes& bytes, const std::string& name) {
  return is_archive(as_text(bytes)) && is_torchscript(as_text(bytes), name);
}

Model parse_model(const Bytes& bytes, const std::string& name) {
  if (is_archive(as_text(bytes))) return parse_state_dict(as_text(bytes), name);
  const bool has_header = bytes.size() > 8 && bytes[8] == '{';
  const bool is_named_so = std::filesystem::path(name).extension() == ".safetensors";
  if (has_header || is_named_so) return parse_safetensors_model(as_text(bytes), name);
  throw ModelError(
      fmt::format("{}: is no model file: neither a safetensors file, nor a state dict of torch.save, nor a "
                  "TorchScript file; name one of these or a run directory",
                  printable(name)));
}

}  // namespace

std::string to_safetensors(const Model& model) {
  Safetensors contents;
  contents.metadata = metadata_of(model);
  contents.metadata["format"] = "pt";  // to readers of the format: tensors in PyTorch's layout
  const NamedTensors tensors = tensors_of(model);
  for (const auto& [name, tensor] : tensors) {
    contents.tensors.push_back(as_stored(name, tensor));
  }
  return serialize_safetensors(contents);
}

Model load_model(const std::filesystem::path& path) {
  return load_model(read_file(path), path.string());
}

Model load_model(const Bytes& bytes, const std::string& name) {
  if (is_torchscript_file(bytes, name)) return TorchScriptModel(bytes, name).model();
  return parse_model(bytes, name);
}

TorchScriptModel load_classifier(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path);
  if (is_torchscript_file(bytes, path.string())) return {bytes, path.string()};
  return TorchScriptModel(parse_model(bytes, path.string()));
}

}  // namespace handgrad
