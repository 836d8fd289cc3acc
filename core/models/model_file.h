// Model files of every kind that can be read back: safetensors, state dicts, TorchScript.
#pragma once

#include <filesystem>
#include <string>

#include "handgrad/models/model.h"
#include "handgrad/models/torchscript.h"

namespace handgrad {

// The file of the only network in the safetensors format, with its metadata.
std::string to_safetensors(const Model& model);

// The network in a file. Runs nothing of safetensors files and state dicts; a TorchScript file is a program,
// which LibTorch compiles, and must be one of handgrad.
// Throws FileError where the file cannot be read, ModelError where it holds no such network.
Model load_model(const std::filesystem::path& path);

// The same of the bytes of a file; `name` is what messages call it.
Model load_model(const Bytes& bytes, const std::string& name);

// The same, ready to classify; of a TorchScript file its own program.
TorchScriptModel load_classifier(const std::filesystem::path& path);

}  // namespace handgrad
