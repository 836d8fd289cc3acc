// Event files: checksums, framing and messages, byte by byte.
#include "handgrad/files/event_file.h"

#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "handgrad/base/errors.h"
#include "handgrad/base/histogram.h"
#include "handgrad/files/little_endian.h"
#include "handgrad/files/protobuf.h"
#include "handgrad/files/temporary_directory.h"
#include "handgrad/files/tfrecord.h"
#include "test.h"

using namespace handgrad;
using Catch::Contains;

namespace {

std::string bytes_of(const std::vector<unsigned>& values) {
  std::string bytes;
  for (const unsigned value : values) bytes += static_cast<char>(value);
  return bytes;
}

std::uint64_t whole_of(const std::string& contents) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file", std::ios::binary) << contents;
  return whole_records(directory / "file");
}

}  // namespace

TEST_CASE("CRC-32C has the values of RFC 3720, appendix B.4", "[eventfile]") {
  std::string rising;
  std::string falling;
  for (char i = 0; i < 32; ++i) {
    rising += i;
    falling += static_cast<char>(31 - i);
  }
  CHECK(crc32c("") == 0);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
  CHECK(crc32c(rising) == 0x46dd794e);
  CHECK(crc32c(falling) == 0x113fdb5c);
  CHECK(crc32c(bytes_of({0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                         0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                         0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0})) == 0xd9963a56);
}

TEST_CASE("fields are encoded as the documentation of Protocol Buffers has them", "[eventfile]") {
  ProtobufMessage message;
  message.add_varint(1, 150);
  message.add_bytes(2, "testing");
  CHECK(message.bytes() == bytes_of({0x08, 0x96, 0x01, 0x12, 0x07}) + "testing");

  ProtobufMessage numbers;
  numbers.add_float(2, 1.5F);
  numbers.add_double(3, -2);
  numbers.add_doubles(16, {1, 0});
  numbers.add_varint(1, 0);
  CHECK(numbers.bytes() ==
        bytes_of({0x15, 0, 0, 0xc0, 0x3f}) + bytes_of({0x19, 0, 0, 0, 0, 0, 0, 0, 0xc0}) +
            bytes_of({0x82, 0x01, 16, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0}) +
            bytes_of({0x08, 0}));

  ProtobufMessage lengths;  // the largest number of one byte, and the smallest of two
  lengths.add_varint(1, 127);
  lengths.add_varint(1, 128);
  CHECK(lengths.bytes() == bytes_of({0x08, 0x7f, 0x08, 0x80, 0x01}));

  ProtobufMessage largest;
  largest.add_varint(1, std::numeric_limits<std::uint64_t>::max());
  CHECK(largest.bytes() == '\x08' + std::string(9, '\xff') + '\x01');
}

TEST_CASE("a record is a length, data, and the masked checksums of both", "[eventfile]") {
  // So begins every event file of TensorFlow and PyTorch.
  const std::string record = file_version_record(0);
  CHECK(record.substr(0, 12) == bytes_of({0x18, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22}));
  CHECK(record.size() == 12 + 0x18 + 4);
  CHECK(record.substr(12, 24) == bytes_of({0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a, 13}) + "brain.Event:2");

  const std::string data = "some data";
  const std::string framed = tfrecord(data);
  const std::uint64_t crc = crc32c(data);
  const std::uint64_t rotated = (crc >> 15 | crc << 17) & 0xffffffff;
  CHECK(framed.substr(framed.size() - 4) == to_little_endian(rotated + 0xa282ead8, 4));
}

TEST_CASE("records are whole up to the first that is cut short or damaged", "[eventfile]") {
  const std::string first = tfrecord("first");
  const std::string both = first + tfrecord("second");
  CHECK(whole_of(both) == both.size());
  CHECK(whole_of("") == 0);
  CHECK(whole_records("no such file") == 0);
  for (std::size_t size = first.size(); size < both.size(); ++size) {
    CAPTURE(size);
    CHECK(whole_of(both.substr(0, size)) == first.size());
  }
  for (std::size_t position = first.size(); position < both.size(); ++position) {
    CAPTURE(position);
    std::string damaged = both;
    damaged[position] = static_cast<char>(damaged[position] ^ 0x40);
    CHECK(whole_of(damaged) == first.size());
  }
}

TEST_CASE("a histogram counts every finite number once", "[eventfile]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> values = {-1, 2, 0.5, nan, infinity, -infinity, 2};
  const Histogram all = histogram(values.data(), values.size());
  CHECK(all.count == 4);
  CHECK(all.min == -1);
  CHECK(all.max == 2);
  CHECK(all.sum == 3.5);
  CHECK(all.sum_of_squares == 9.25);
  REQUIRE(all.limits.size() == 30);
  REQUIRE(all.counts.size() == 30);
  CHECK(all.limits.front() == Approx(-0.9));
  CHECK(all.limits.back() == 2);
  CHECK(all.counts[0] == 1);
  CHECK(all.counts[15] == 1);
  CHECK(all.counts[29] == 2);

  const std::vector<float> equal = {3, 3};
  const Histogram one = histogram(equal.data(), equal.size());
  CHECK(one.limits == std::vector<double>{3});
  CHECK(one.counts == std::vector<double>{2});

  const Histogram none = histogram(&nan, 1);
  CHECK(none.count == 0);
  CHECK(none.limits.empty());
}

TEST_CASE("an image's size is read from the PNG", "[eventfile]") {
  const std::string png = "\x89PNG\r\n\x1a\n" + bytes_of({0, 0, 0, 13}) + "IHDR" +
                          bytes_of({0, 0, 1, 4, 0, 0, 0, 7, 8, 6, 0, 0, 0});
  SummaryEvent event(1, 2);
  event.add_image("digit", png);
  // Height 7, width 260, colorspace 4 (with alpha), then the file itself.
  CHECK_THAT(
      event.record(),
      Contains(bytes_of({0x08, 7, 0x10, 0x84, 0x02, 0x18, 4, 0x22, static_cast<unsigned>(png.size())}) +
               png));
  CHECK_THROWS_AS(event.add_image("digit", "P5 no PNG, but long enough to be one"), ArgumentError);
  CHECK_THROWS_AS(event.add_image("digit", png.substr(0, 20)), ArgumentError);
}
