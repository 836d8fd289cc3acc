// An exported file read back by something that is not this program, and compared with the network.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "handgrad/models/model.h"
#include "handgrad/train/metrics.h"

namespace handgrad::app {

enum class Format { torchscript, onnx, safetensors, state_dict, c_header, html };

const std::vector<std::string>& format_names();  // in the order of Format

struct FileToVerify {
  std::filesystem::path path;
  Format format = Format::torchscript;
  ImageShape shape;
  std::int64_t classes = 0;
  std::string c_prefix;
  bool int8 = false;  // of c_header: a quantised network, whose logits are compared, not its probabilities
};

struct Verification {
  std::string reader;  // such as "onnxruntime-web 1.30.0, Node.js v20.20.2"
  Agreement agreement;
  double accuracy = 0;
};

// Runs the file on pixels [N,inputs], uint8, with the first reader of its format that this machine has, and
// compares with the probabilities [N,C], of int8 the logits, that are expected. labels [N]. Throws ModelError
// where the reader refuses the file, Error where there is no reader.
Verification verify(const FileToVerify& file, const Tensor& pixels, const Tensor& labels,
                    const Tensor& expected);

}  // namespace handgrad::app
