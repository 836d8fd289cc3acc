// IDX files of a small data set, written byte by byte: no code of the library is needed to test the program.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// The IDX file of unsigned bytes with these dimensions.
inline std::string idx(const std::vector<unsigned>& shape, const std::string& values) {
  std::string bytes = {'\0', '\0', '\x08', static_cast<char>(shape.size())};
  for (const unsigned size : shape) {
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift & 0xff);
  }
  return bytes + values;
}

// 12 training and 6 test images of 4 × 3 pixels in 3 classes, each class with bright pixels of its own.
inline void write_small_dataset(const std::filesystem::path& directory) {
  for (const auto& [part, count] : {std::pair<std::string, unsigned>{"train", 12}, {"t10k", 6}}) {
    std::string pixels;
    std::string labels;
    for (unsigned i = 0; i < count; ++i) {
      labels += static_cast<char>(i % 3);
      for (unsigned p = 0; p < 12; ++p) pixels += static_cast<char>(p % 3 == i % 3 ? 200 + i : 10 * (i % 4));
    }
    write_text(directory / (part + "-images-idx3-ubyte"), idx({count, 4, 3}, pixels));
    write_text(directory / (part + "-labels-idx1-ubyte"), idx({count}, labels));
  }
}
