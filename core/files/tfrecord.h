// Records of a TFRecord file, one after the other, each with checksums (tensorflow.org, "TFRecord and
// tf.train.Example", "TFRecords format details"). Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace handgrad {

// CRC-32C, by the polynomial of Castagnoli, as RFC 3720 has it (12.1, with examples in appendix B.4).
std::uint32_t crc32c(std::string_view bytes);

// A record: the length of the data in 8 bytes, the masked CRC-32C of these in 4, the data, and their masked
// CRC-32C in 4.
std::string tfrecord(std::string_view data);

// How many bytes of a file are whole records with the right checksums, from its beginning up to the first one
// that is cut short or damaged. 0 where there is no such file. Throws FileError where it cannot be read.
std::uint64_t whole_records(const std::filesystem::path& file);

}  // namespace handgrad
