// The IDX format: every number in the header is checked before it is used, because the bytes may be anything.
#include "handgrad/data/idx.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"

namespace handgrad {

namespace {

constexpr std::size_t magic_size = 4;
constexpr std::size_t dimension_size = 4;
constexpr std::uint8_t unsigned_bytes = 0x08;
constexpr std::size_t most_dimensions = 3;
constexpr std::int64_t most_entries = 0xffffffff;
constexpr std::uint64_t most_values = std::uint64_t{1} << 32;

// What people hand in instead of an IDX file, by the first bytes.
std::string guess(const Bytes& bytes) {
  struct Kind {
    std::string_view beginning;
    std::string_view description;
  };
  constexpr std::array<Kind, 4> kinds{{
      {"<", "it looks like a web page, probably a failed download: fetch it again"},
      {"\x89PNG", "it looks like a PNG picture: convert it to IDX"},
      {"PK", "it looks like a zip archive: unpack it first"},
      {"\x1f\x8b", "it looks like gzip in gzip: unpack it once more"},
  }};
  const std::string_view beginning = as_text(bytes).substr(0, magic_size);
  for (const Kind& kind : kinds) {
    if (beginning.substr(0, kind.beginning.size()) == kind.beginning) return std::string(kind.description);
  }
  return "it is another kind of file or damaged: give an IDX file of unsigned bytes";
}

std::string describe(const std::vector<std::int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, " x "));
}

void check_dimensions(std::size_t dimensions, const std::string& name) {
  if (dimensions < 1 || dimensions > most_dimensions) {
    throw DataError(
        fmt::format("{}: has {}; 1 (labels) to {} (images) are allowed: give a file of labels or images",
                    printable(name), counted(dimensions, "dimension"), most_dimensions));
  }
}

// How many values an array of this shape has.
std::uint64_t checked_count(const std::vector<std::int64_t>& shape, const std::string& name) {
  std::uint64_t count = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::int64_t most = i == 0 ? most_entries : most_rows_or_columns;
    if (shape[i] < 1 || shape[i] > most) {
      throw DataError(
          fmt::format("{}: dimension {} of {} is {}; 1 to {} is allowed: the file is damaged or not a set of "
                      "labels or images",
                      printable(name), i + 1, shape.size(), shape[i], most));
    }
    const auto size = static_cast<std::uint64_t>(shape[i]);
    if (count > most_values / size) {
      throw DataError(
          fmt::format("{}: {} is more than {} values, the most allowed: the file is damaged or must be split",
                      printable(name), describe(shape), most_values));
    }
    count *= size;
  }
  return count;
}

}  // namespace

IdxArray parse_idx(Bytes bytes, const std::string& name) {
  if (bytes.size() < magic_size) {
    throw DataError(
        fmt::format("{}: is {} long; an IDX file begins with a magic number of {} bytes: fetch it again",
                    printable(name), counted(bytes.size(), "byte"), magic_size));
  }
  if (bytes[0] != 0 || bytes[1] != 0) {
    throw DataError(fmt::format("{}: begins with {:02x} {:02x} instead of the 00 00 of an IDX file; {}",
                                printable(name), bytes[0], bytes[1], guess(bytes)));
  }
  if (bytes[2] != unsigned_bytes) {
    throw DataError(fmt::format(
        "{}: has values of type {:#04x}; only {:#04x}, unsigned bytes, is allowed: convert the values",
        printable(name), bytes[2], unsigned_bytes));
  }
  const std::size_t dimensions = bytes[3];
  check_dimensions(dimensions, name);
  const std::size_t header_size = magic_size + dimensions * dimension_size;
  if (bytes.size() < header_size) {
    throw DataError(fmt::format(
        "{}: is {} long, but the header alone, with {}, takes {}; the file was cut short: fetch it again",
        printable(name), counted(bytes.size(), "byte"), counted(dimensions, "dimension"), header_size));
  }

  IdxArray array;
  for (std::size_t at = magic_size; at < header_size; at += dimension_size) {
    std::int64_t size = 0;
    for (std::size_t i = 0; i < dimension_size; ++i) size = size << 8 | bytes[at + i];
    array.shape.push_back(size);
  }
  const std::uint64_t count = checked_count(array.shape, name);
  if (bytes.size() - header_size != count) {
    throw DataError(fmt::format(
        "{}: {} asks for {}, but after the header there are {}; the file is damaged: fetch it again",
        printable(name), describe(array.shape), counted(count, "value"), bytes.size() - header_size));
  }
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header_size));
  array.values = std::move(bytes);
  return array;
}

Bytes header_of(const IdxArray& array) {
  check_dimensions(array.shape.size(), "the array");
  const std::uint64_t count = checked_count(array.shape, "the array");
  if (array.values.size() != count) {
    throw DataError(fmt::format("the array: {} asks for {}, but it holds {}: make them equal",
                                describe(array.shape), counted(count, "value"), array.values.size()));
  }
  Bytes bytes{0, 0, unsigned_bytes, static_cast<std::uint8_t>(array.shape.size())};
  for (const std::int64_t size : array.shape) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(size >> shift));
  }
  return bytes;
}

Bytes serialize_idx(const IdxArray& array) {
  Bytes bytes = header_of(array);
  bytes.insert(bytes.end(), array.values.begin(), array.values.end());
  return bytes;
}

}  // namespace handgrad
