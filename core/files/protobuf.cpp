// Protocol Buffers' wire format.
#include "handgrad/files/protobuf.h"

#include <cstring>

#include "handgrad/files/little_endian.h"

namespace handgrad {

namespace {

std::string double_bytes(double value) {
  std::uint64_t bits = 0;
  static_assert(sizeof bits == sizeof value);
  std::memcpy(&bits, &value, sizeof bits);
  return to_little_endian(bits, sizeof bits);
}

}  // namespace

void ProtobufMessage::add_varint(std::uint32_t field, std::uint64_t value) {
  add_tag(field, WireType::varint);
  append_varint(value);
}

void ProtobufMessage::add_float(std::uint32_t field, float value) {
  std::uint32_t bits = 0;
  static_assert(sizeof bits == sizeof value);
  std::memcpy(&bits, &value, sizeof bits);
  add_tag(field, WireType::fixed32);
  bytes_ += to_little_endian(bits, sizeof bits);
}

void ProtobufMessage::add_double(std::uint32_t field, double value) {
  add_tag(field, WireType::fixed64);
  bytes_ += double_bytes(value);
}

void ProtobufMessage::add_bytes(std::uint32_t field, std::string_view bytes) {
  add_tag(field, WireType::length_delimited);
  append_varint(bytes.size());
  bytes_ += bytes;
}

void ProtobufMessage::add_doubles(std::uint32_t field, const std::vector<double>& values) {
  add_tag(field, WireType::length_delimited);
  append_varint(sizeof(double) * values.size());
  for (const double value : values) bytes_ += double_bytes(value);
}

void ProtobufMessage::add_tag(std::uint32_t field, WireType type) {
  append_varint(std::uint64_t{field} << 3 | static_cast<std::uint32_t>(type));
}

// Seven bits a byte, the lowest first; the highest bit says that another byte follows.
void ProtobufMessage::append_varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
  bytes_ += static_cast<char>(value);
}

}  // namespace handgrad
