// TFRecord files.
#include "handgrad/files/tfrecord.h"

#include <fmt/format.h>

#include <array>
#include <fstream>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/little_endian.h"

namespace handgrad {

namespace {

constexpr std::size_t length_size = 8;
constexpr std::size_t crc_size = 4;
constexpr std::size_t head_size = length_size + crc_size;

// What a byte does to the remainder, bits reflected: the lowest bit of a byte counts as the highest power.
constexpr std::array<std::uint32_t, 256> crc32c_table() {
  constexpr std::uint32_t reflected_polynomial = 0x82f63b78;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = (remainder & 1) != 0 ? remainder >> 1 ^ reflected_polynomial : remainder >> 1;
    }
    table[byte] = remainder;
  }
  return table;
}

// Masked, so that a record may hold records: the CRC of bytes that contain their own CRC tells little.
std::string masked_crc(std::string_view bytes) {
  constexpr std::uint32_t mask_delta = 0xa282ead8;
  const std::uint32_t crc = crc32c(bytes);
  return to_little_endian(std::uint32_t{(crc >> 15 | crc << 17) + mask_delta}, crc_size);
}

// The next `size` bytes; fewer where the file ends before.
std::string read_part(std::istream& file, std::size_t size) {
  std::string part(size, '\0');
  file.read(part.data(), static_cast<std::streamsize>(size));
  part.resize(static_cast<std::size_t>(file.gcount()));
  return part;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> table = crc32c_table();
  std::uint32_t remainder = 0xffffffff;
  for (const char byte : bytes) {
    remainder = remainder >> 8 ^ table[(remainder ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return ~remainder;
}

std::string tfrecord(std::string_view data) {
  const std::string length = to_little_endian(data.size(), length_size);
  std::string record = length + masked_crc(length);
  record += data;
  return record + masked_crc(data);
}

std::uint64_t whole_records(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return 0;
  const std::uint64_t size = std::filesystem::file_size(file, error);
  std::ifstream stream(file, std::ios::binary);
  if (error || !stream) {
    throw FileError(
        fmt::format("{}: cannot be read; check its permissions, or remove it", printable(file.string())));
  }
  std::uint64_t whole = 0;
  while (size - whole >= head_size + crc_size) {
    const std::string head = read_part(stream, head_size);
    const std::string_view length = std::string_view(head).substr(0, length_size);
    const std::uint64_t data_size = from_little_endian(length);
    if (head.size() != head_size || head.substr(length_size) != masked_crc(length)) break;
    if (data_size > size - whole - head_size - crc_size) break;
    const std::string data = read_part(stream, static_cast<std::size_t>(data_size));
    if (data.size() != data_size || read_part(stream, crc_size) != masked_crc(data)) break;
    whole += head_size + data_size + crc_size;
  }
  return whole;
}

}  // namespace handgrad
