// Messages of Protocol Buffers, written field by field (protobuf.dev, "Encoding"). Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace handgrad {

// Fields stand in the order in which they are added. `field`: the number that the message's definition gives
// it, from 1. What is added is written even where it is the default, which readers take as the same.
class ProtobufMessage {
 public:
  // int32, int64, uint64, bool or enum; a negative number as its two's complement in 64 bits.
  void add_varint(std::uint32_t field, std::uint64_t value);
  void add_float(std::uint32_t field, float value);
  void add_double(std::uint32_t field, double value);
  // string, bytes, or an embedded message.
  void add_bytes(std::uint32_t field, std::string_view bytes);
  void add_message(std::uint32_t field, const ProtobufMessage& message) { add_bytes(field, message.bytes()); }
  // repeated double [packed = true].
  void add_doubles(std::uint32_t field, const std::vector<double>& values);

  const std::string& bytes() const { return bytes_; }

 private:
  enum class WireType : std::uint32_t { varint = 0, fixed64 = 1, length_delimited = 2, fixed32 = 5 };

  void add_tag(std::uint32_t field, WireType type);
  void append_varint(std::uint64_t value);

  std::string bytes_;
};

}  // namespace handgrad
