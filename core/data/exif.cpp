// How a camera was held: JPEG's segments (ITU T.81, B.1.1.4), and in one of them Exif's tags, as in TIFF 6.0.
#include "handgrad/data/exif.h"

#include <cstdint>
#include <string_view>

namespace handgrad {

namespace {

using namespace std::string_view_literals;

constexpr int upright = 1;

// Unsigned numbers within `bytes`; 0 where those end before.
struct Numbers {
  std::string_view bytes;
  bool big_endian = true;

  std::size_t at(std::size_t place, std::size_t size) const {
    if (place > bytes.size() || bytes.size() - place < size) return 0;
    std::size_t number = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t next = big_endian ? i : size - 1 - i;
      number = number << 8 | static_cast<std::uint8_t>(bytes[place + next]);
    }
    return number;
  }
  std::size_t two(std::size_t place) const { return at(place, 2); }
  std::size_t four(std::size_t place) const { return at(place, 4); }
};

// What stands in the first directory of a TIFF file.
int orientation_in(std::string_view tiff) {
  constexpr std::size_t entry_size = 12;
  constexpr std::size_t orientation_tag = 0x0112;
  constexpr std::size_t two_bytes = 3;  // the type of the number
  const Numbers numbers{tiff, tiff.substr(0, 2) == "MM"sv};
  const std::size_t directory = numbers.four(4);
  const std::size_t entries = numbers.two(directory);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + entry_size * i;
    if (numbers.two(entry) != orientation_tag || numbers.two(entry + 2) != two_bytes) continue;
    const std::size_t orientation = numbers.two(entry + 8);
    return orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : upright;
  }
  return upright;
}

}  // namespace

int exif_orientation(const Bytes& bytes) {
  constexpr auto exif = "Exif\0\0"sv;
  constexpr std::size_t start_of_file = 0xffd8;
  constexpr std::size_t application_1 = 0xffe1;
  constexpr std::size_t start_of_scan = 0xffda;
  const Numbers file{as_text(bytes)};
  if (file.two(0) != start_of_file) return upright;
  for (std::size_t place = 2;;) {
    while (file.two(place) == 0xffff) ++place;  // padding
    const std::size_t marker = file.two(place);
    const std::size_t size = file.two(place + 2);  // with its own two bytes
    if (marker <= 0xff00 || marker == start_of_scan || size < 2 || place + 2 + size > bytes.size()) break;
    const std::string_view segment = file.bytes.substr(place + 4, size - 2);
    if (marker == application_1 && segment.substr(0, exif.size()) == exif) {
      return orientation_in(segment.substr(exif.size()));
    }
    place += 2 + size;
  }
  return upright;
}

}  // namespace handgrad
