// Model files of every kind that can be read back.
#include "model_file.h"

#include <fmt/format.h>

#include "errors.h"
#include "file.h"
#include "safetensors.h"
#include "state_dict.h"

namespace handgrad {

namespace {

std::string_view view(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

at::ScalarType dtype_of(const StoredTensor& stored, const std::string& name) {
  static const std::map<std::string, at::ScalarType> types = {
      {"F32", at::kFloat}, {"F64", at::kDouble}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}};
  const auto found = types.find(stored.dtype);
  // What is no floating-point number is refused by the model, or passed over.
  if (found == types.end()) return at::kByte;
  if (stored.bytes.empty()) {
    throw ModelError(fmt::format("{}: {} is empty; the file is of another kind of network", printable(name),
                                 printable(stored.name)));
  }
  return found->second;
}

Model parse_safetensors_model(std::string_view file, const std::string& name) {
  const Safetensors contents = parse_safetensors(file, name);
  std::map<std::string, Tensor> tensors;
  for (const StoredTensor& stored : contents.tensors) {
    const at::ScalarType dtype = dtype_of(stored, name);
    const bool bytes = dtype == at::kByte;
    // Copied as bytes: the numbers need not be aligned in the file.
    Tensor tensor = bytes ? at::empty({0}, dtype) : at::empty(stored.shape, dtype);
    if (!bytes) std::copy(stored.bytes.begin(), stored.bytes.end(), static_cast<char*>(tensor.data_ptr()));
    tensors[stored.name] = tensor;
  }
  Model model = model_from_tensors(name, tensors);
  model.info = info_from(name, contents.metadata, model.network->architecture().inputs);
  return model;
}

bool is_torchscript_file(const Bytes& bytes, const std::string& name) {
  return is_archive(view(bytes)) && is_torchscript(view(bytes), name);
}

Model parse_model(const Bytes& bytes, const std::string& name) {
  if (is_archive(view(bytes))) return parse_state_dict(view(bytes), name);
  const bool has_header = bytes.size() > 8 && bytes[8] == '{';
  const bool is_named_so = std::filesystem::path(name).extension() == ".safetensors";
  if (has_header || is_named_so) return parse_safetensors_model(view(bytes), name);
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
    contents.tensors.push_back(
        {name, "F32", tensor.sizes().vec(), {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}});
  }
  return serialize_safetensors(contents);
}

Model load_model(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path);
  if (is_torchscript_file(bytes, path.string())) return TorchScriptModel(path).model();
  return parse_model(bytes, path.string());
}

TorchScriptModel load_classifier(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path);
  if (is_torchscript_file(bytes, path.string())) return TorchScriptModel(path);
  return TorchScriptModel(parse_model(bytes, path.string()));
}

}  // namespace handgrad
