// Picture files, through Leptonica.
#include "handgrad/data/picture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/data/exif.h"
#include "handgrad/data/leptonica.h"

namespace handgrad {

namespace {

// libpng and libjpeg write of damage to standard error, and Leptonica gives them no other place: what they
// say goes nowhere while this object lives.
class SilentDecoders {
 public:
  SilentDecoders() : error_(::dup(STDERR_FILENO)) {
    setMsgSeverity(L_SEVERITY_NONE);
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (error_ >= 0 && nowhere >= 0) ::dup2(nowhere, STDERR_FILENO);
    if (nowhere >= 0) ::close(nowhere);
  }
  ~SilentDecoders() {
    if (error_ < 0) return;
    ::dup2(error_, STDERR_FILENO);
    ::close(error_);
  }
  SilentDecoders(const SilentDecoders&) = delete;
  SilentDecoders& operator=(const SilentDecoders&) = delete;

 private:
  int error_;
};

[[noreturn]] void refuse_damaged(const std::string& name) {
  throw DataError(
      fmt::format("{}: the picture cannot be read; the file is damaged, cut short or of a kind that this "
                  "Leptonica does not know: fetch or export it again, as PNG",
                  printable(name)));
}

// Laid on a ground that the ink stands out from.
Bytes compose(Bytes grey, const Bytes& opacities, const std::string& name) {
  constexpr unsigned opaque = 255;
  std::uint64_t ink = 0;
  std::uint64_t visible = 0;
  for (std::size_t i = 0; i < grey.size(); ++i) {
    ink += std::uint64_t{grey[i]} * opacities[i];
    visible += opacities[i];
  }
  if (visible == 0) {
    throw DataError(
        fmt::format("{}: every pixel is fully transparent, so there is nothing to see; export it with its "
                    "strokes visible",
                    printable(name)));
  }
  const bool dark = 2 * ink < opaque * visible;
  const unsigned ground = dark ? 255 : 0;
  for (std::size_t i = 0; i < grey.size(); ++i) {
    const unsigned sum = grey[i] * opacities[i] + ground * (opaque - opacities[i]);
    grey[i] = static_cast<std::uint8_t>((sum + opaque / 2) / opaque);
  }
  return grey;
}

// Turned and mirrored as Exif says (2.3, section 4.6.4): 5 to 8 lie on their side.
Owned<Pix> turned_upright(Owned<Pix> pix, int orientation) {
  if (orientation >= 5) pix.reset(pixRotateOrth(pix.get(), orientation <= 6 ? 1 : 3));
  switch (orientation) {
    case 2:
    case 5:
    case 7:
      pix.reset(pix ? pixFlipLR(nullptr, pix.get()) : nullptr);
      break;
    case 3:
      pix.reset(pixRotateOrth(pix.get(), 2));
      break;
    case 4:
      pix.reset(pixFlipTB(nullptr, pix.get()));
      break;
    default:
      break;
  }
  return pix;
}

bool begins(const Bytes& bytes, std::string_view with) {
  return as_text(bytes).substr(0, with.size()) == with;
}

}  // namespace

bool is_picture(const Bytes& bytes) {
  using namespace std::string_view_literals;
  if (bytes.size() < picture_signature_size) return false;
  const std::string_view text = as_text(bytes);
  // Names of files may begin with the two letters of these, so more is asked for.
  const bool pnm = text[0] == 'P' && text[1] >= '1' && text[1] <= '6' &&
                   " \t\r\n#"sv.find(text[2]) != std::string_view::npos;
  const bool bmp = begins(bytes, "BM") && text.substr(6, 4) == "\0\0\0\0"sv;
  const bool webp = begins(bytes, "RIFF") && text.substr(8, 4) == "WEBP"sv;
  return begins(bytes, "\x89PNG\r\n\x1a\n") || begins(bytes, "\xff\xd8\xff") || begins(bytes, "II*\0"sv) ||
         begins(bytes, "MM\0*"sv) || pnm || bmp || webp;
}

IdxArray parse_picture(const Bytes& bytes, const std::string& name) {
  if (!is_picture(bytes)) {
    throw DataError(fmt::format(
        "{}: is neither a picture nor an IDX file; give a PNG, JPEG, TIFF, BMP, PNM, WebP or IDX file",
        printable(name)));
  }
  Owned<Pix> pix;
  int samples = 0;
  {
    const SilentDecoders silent;
    int width = 0;
    int height = 0;
    if (pixReadHeaderMem(bytes.data(), bytes.size(), nullptr, &width, &height, nullptr, &samples, nullptr) !=
        0) {
      refuse_damaged(name);
    }
    if (std::int64_t{width} * height > most_pixels) {
      throw DataError(fmt::format("{}: is {} × {} pixels; at most {} million are allowed: make it smaller",
                                  printable(name), width, height, most_pixels / 1'000'000));
    }
    pix.reset(pixReadMem(bytes.data(), bytes.size()));
  }
  if (!pix) refuse_damaged(name);
  const bool palette = pixGetColormap(pix.get()) != nullptr;
  if (palette) {
    pix.reset(pixRemoveColormap(pix.get(), REMOVE_CMAP_BASED_ON_SRC));
  }
  Owned<Pix> grey(pix ? pixConvertTo8(pix.get(), 0) : nullptr);
  if (grey) grey = turned_upright(std::move(grey), exif_orientation(bytes));
  if (!grey) refuse_damaged(name);
  IdxArray picture = picture_of(grey.get());
  // A single colour that a PNG calls transparent is read wrongly, so it stays a colour.
  const bool has_opacity = palette || samples % 2 == 0;
  if (has_opacity && pixGetDepth(pix.get()) == 32 && pixGetSpp(pix.get()) == 4) {
    const Owned<Pix> opacities(pixGetRGBComponent(pix.get(), L_ALPHA_CHANNEL));
    picture.values = compose(std::move(picture.values), picture_of(opacities.get()).values, name);
  }
  return picture;
}

Bytes serialize_png(const IdxArray& picture) {
  setMsgSeverity(L_SEVERITY_NONE);
  const Owned<Pix> pix = pix_of(picture);
  l_uint8* data = nullptr;
  std::size_t size = 0;
  if (!pix || pixWriteMemPng(&data, &size, pix.get(), 0) != 0) {
    throw DataError(fmt::format("a picture of {} × {} pixels cannot be written as PNG; make it smaller",
                                picture.shape[1], picture.shape[2]));
  }
  const std::unique_ptr<l_uint8, decltype(&lept_free)> freeing(data, &lept_free);
  return {data, data + size};
}

}  // namespace handgrad
