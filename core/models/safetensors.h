// The safetensors format: named tensors and text metadata in one file, with nothing in it that could run.
// https://github.com/huggingface/safetensors describes it: eight bytes with the length of a JSON header,
// little-endian; the header; the numbers. Free of LibTorch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace handgrad {

struct StoredTensor {
  std::string name;
  std::string dtype;                // "F32", "F64", "F16", "BF16", "I64", …
  std::vector<std::int64_t> shape;  // empty: a single number
  std::string_view bytes;           // little-endian, row by row; of memory that lives elsewhere
};

struct Safetensors {
  std::map<std::string, std::string> metadata;
  std::vector<StoredTensor> tensors;  // in the order of the bytes
};

// The file with these tensors, each at a multiple of its item's size. Throws ModelError for a dtype without a
// known size, or bytes that are not as many as the shape says.
std::string serialize_safetensors(const Safetensors& contents);

// What a file holds; the tensors are views into it. `name` is what messages call it. Throws ModelError where
// it is cut short, damaged or breaks a rule of the format: names twice, bytes that overlap, belong to no
// tensor or are not as many as the shape says.
Safetensors parse_safetensors(std::string_view file, const std::string& name);

}  // namespace handgrad
