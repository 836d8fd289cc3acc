// PNG pictures as grey pixels, through libpng's simplified interface, which needs no setjmp.
#include "picture.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <memory>

#include "errors.h"

namespace handgrad {

namespace {

constexpr png_uint_32 most_rows_or_columns = 4096;

[[noreturn]] void refuse(const png_image& image, const std::string& name) {
  throw DataError(fmt::format(
      "{}: the PNG picture cannot be read ({}); the file is damaged or cut short: fetch or export it again",
      printable(name), image.message));
}

}  // namespace

bool is_png(const Bytes& bytes) {
  constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  return bytes.size() >= signature.size() && std::equal(signature.begin(), signature.end(), bytes.begin());
}

IdxArray parse_png(const Bytes& bytes, const std::string& name) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, decltype(&png_image_free)> freeing(&image, &png_image_free);
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) refuse(image, name);
  if (image.width > most_rows_or_columns || image.height > most_rows_or_columns) {
    throw DataError(fmt::format("{}: is {} x {} pixels; at most {} x {} are allowed: make it smaller",
                                printable(name), image.width, image.height, most_rows_or_columns,
                                most_rows_or_columns));
  }
  image.format = PNG_FORMAT_GRAY;
  // Without this, 16 bits that do not name their gamma would be taken as linear light and come out too
  // bright.
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;

  IdxArray picture{{1, image.height, image.width}, Bytes(std::size_t{image.height} * image.width)};
  const png_color black{0, 0, 0};
  constexpr png_int_32 packed_rows = 0;
  if (png_image_finish_read(&image, &black, picture.values.data(), packed_rows, nullptr) == 0) {
    refuse(image, name);
  }
  return picture;
}

}  // namespace handgrad
