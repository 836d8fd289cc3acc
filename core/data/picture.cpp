// PNG pictures as grey pixels, through libpng's simplified interface, which needs no setjmp.
#include "handgrad/data/picture.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"

namespace handgrad {

namespace {

[[noreturn]] void refuse(const png_image& image, const std::string& name) {
  throw DataError(fmt::format(
      "{}: the PNG picture cannot be read ({}); the file is damaged or cut short: fetch or export it again",
      printable(name), image.message));
}

// Grey and opacity by turns, laid on a ground that the ink stands out from.
Bytes compose(const Bytes& grey_and_opacity, const std::string& name) {
  constexpr unsigned opaque = 255;
  std::uint64_t ink = 0;
  std::uint64_t visible = 0;
  for (std::size_t i = 0; i < grey_and_opacity.size(); i += 2) {
    ink += std::uint64_t{grey_and_opacity[i]} * grey_and_opacity[i + 1];
    visible += grey_and_opacity[i + 1];
  }
  if (visible == 0) {
    throw DataError(
        fmt::format("{}: every pixel is fully transparent, so there is nothing to see; export it with its "
                    "strokes visible",
                    printable(name)));
  }
  const bool dark = 2 * ink < opaque * visible;
  const unsigned ground = dark ? 255 : 0;
  Bytes grey(grey_and_opacity.size() / 2);
  for (std::size_t i = 0; i < grey.size(); ++i) {
    const unsigned opacity = grey_and_opacity[2 * i + 1];
    const unsigned sum = grey_and_opacity[2 * i] * opacity + ground * (opaque - opacity);
    grey[i] = static_cast<std::uint8_t>((sum + opaque / 2) / opaque);
  }
  return grey;
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
  if (std::max(image.width, image.height) > most_rows_or_columns) {
    throw DataError(fmt::format("{}: is {} x {} pixels; at most {} x {} are allowed: make it smaller",
                                printable(name), image.width, image.height, most_rows_or_columns,
                                most_rows_or_columns));
  }
  const bool transparent = (image.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  image.format = transparent ? PNG_FORMAT_GA : PNG_FORMAT_GRAY;
  // Without this, 16 bits that do not name their gamma would be taken as linear light and come out too
  // bright.
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;

  Bytes pixels(PNG_IMAGE_SIZE(image));
  constexpr png_int_32 packed_rows = 0;
  if (png_image_finish_read(&image, nullptr, pixels.data(), packed_rows, nullptr) == 0) refuse(image, name);
  return {{1, image.height, image.width}, transparent ? compose(pixels, name) : std::move(pixels)};
}

Bytes serialize_png(const IdxArray& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(picture.shape[1]);
  image.width = static_cast<png_uint_32>(picture.shape[2]);
  image.format = PNG_FORMAT_GRAY;
  constexpr int keep_16_bits = 0;
  constexpr png_int_32 packed_rows = 0;
  const auto write = [&](std::uint8_t* to, png_alloc_size_t& size) {
    if (png_image_write_to_memory(&image, to, &size, keep_16_bits, picture.values.data(), packed_rows,
                                  nullptr) == 0) {
      throw DataError(
          fmt::format("a picture of {} × {} pixels cannot be written as PNG ({}); make it smaller",
                      picture.shape[1], picture.shape[2], image.message));
    }
  };
  png_alloc_size_t size = 0;
  write(nullptr, size);  // says how many bytes there will be
  Bytes bytes(size);
  write(bytes.data(), size);
  return bytes;
}

}  // namespace handgrad
