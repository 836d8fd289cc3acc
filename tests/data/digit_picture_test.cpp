// Pictures of digits: whatever their kind, size, polarity and place, the same pixels come out.
#include "handgrad/data/digit_picture.h"

#include "test.h"

#include <leptonica/allheaders.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <vector>

#include "handgrad/base/errors.h"
#include "handgrad/data/picture.h"

using namespace handgrad;
using Catch::Contains;
using Catch::StartsWith;

namespace {

IdxArray sheet(std::int64_t rows, std::int64_t columns, std::uint8_t grey = 0) {
  return {{1, rows, columns}, Bytes(static_cast<std::size_t>(rows * columns), grey)};
}

void draw(IdxArray& picture, std::int64_t left, std::int64_t top, std::int64_t width, std::int64_t rows,
          std::uint8_t grey = 255) {
  for (std::int64_t y = top; y < top + rows; ++y) {
    for (std::int64_t x = left; x < left + width; ++x) {
      picture.values[static_cast<std::size_t>(y * picture.shape[2] + x)] = grey;
    }
  }
}

// An L, whose centre of mass is not the middle of its box.
IdxArray drawn(std::int64_t rows, std::int64_t columns, std::int64_t left, std::int64_t top) {
  IdxArray picture = sheet(rows, columns);
  draw(picture, left, top, 10, 40);
  draw(picture, left, top + 30, 20, 10);
  return picture;
}

IdxArray turned_round(IdxArray picture) {
  for (std::uint8_t& grey : picture.values) grey = static_cast<std::uint8_t>(255 - grey);
  return picture;
}

IdxArray prepared(const IdxArray& picture, bool several = false) {
  return prepare_digits(picture, {28, 28}, several, "some.png");
}

std::string refusal(const IdxArray& picture) {
  try {
    prepared(picture);
  } catch (const DataError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

struct InkBox {
  std::int64_t rows = 0, columns = 0;
  double centre_x = 0, centre_y = 0;
};

InkBox box_of(const IdxArray& image) {
  InkBox box;
  std::int64_t left = 28, right = -1, top = 28, bottom = -1;
  double mass = 0;
  for (std::int64_t i = 0; i < 28 * 28; ++i) {
    const int grey = image.values[static_cast<std::size_t>(i)];
    if (grey == 0) continue;
    const std::int64_t x = i % 28, y = i / 28;
    left = std::min(left, x), right = std::max(right, x), top = std::min(top, y),
    bottom = std::max(bottom, y);
    mass += grey;
    box.centre_x += grey * (static_cast<double>(x) + 0.5);
    box.centre_y += grey * (static_cast<double>(y) + 0.5);
  }
  box.rows = bottom - top + 1, box.columns = right - left + 1;
  box.centre_x /= mass, box.centre_y /= mass;
  return box;
}

Bytes written(const IdxArray& picture, int format) {
  Pix* pix = pixCreate(static_cast<int>(picture.shape[2]), static_cast<int>(picture.shape[1]), 8);
  for (std::size_t i = 0; i < picture.values.size(); ++i) {
    const auto at = static_cast<int>(i);
    const auto columns = static_cast<int>(picture.shape[2]);
    pixSetPixel(pix, at % columns, at / columns, picture.values[i]);
  }
  l_uint8* data = nullptr;
  std::size_t size = 0;
  const bool failed = pixWriteMem(&data, &size, pix, format) != 0;
  pixDestroy(&pix);
  const Bytes bytes = failed ? Bytes() : Bytes(data, data + size);
  lept_free(data);
  return bytes;
}

// A segment of JPEG with a directory of TIFF that holds two tags, the second of which is the orientation.
Bytes exif_segment(int orientation, bool big_endian) {
  std::string tiff = big_endian ? "MM" : "II";
  const auto put = [&](unsigned value, int size) {
    for (int i = 0; i < size; ++i) {
      tiff += static_cast<char>(value >> 8 * (big_endian ? size - 1 - i : i) & 0xffU);
    }
  };
  put(42, 2), put(8, 4), put(2, 2);
  put(0x0100, 2), put(4, 2), put(1, 4), put(48, 4);
  put(0x0112, 2), put(3, 2), put(1, 4), put(static_cast<unsigned>(orientation), 2), put(0, 2);
  const std::string body = std::string("Exif\0\0", 6) + tiff;
  std::string segment = "\xff\xe1";
  segment += '\0';
  segment += static_cast<char>(body.size() + 2);
  segment += body;
  return {segment.begin(), segment.end()};
}

Bytes photo(const IdxArray& picture, const Bytes& segment) {
  Bytes bytes = written(picture, IFF_JFIF_JPEG);
  bytes.insert(bytes.begin() + 2, segment.begin(), segment.end());
  return bytes;
}

// The letters of the greys that blocks of 16 × 16 pixels have, row by row.
std::string blocks_of(const IdxArray& picture, const std::vector<std::uint8_t>& greys) {
  std::string blocks;
  for (std::int64_t y = 8; y < picture.shape[1]; y += 16) {
    if (!blocks.empty()) blocks += '/';
    for (std::int64_t x = 8; x < picture.shape[2]; x += 16) {
      const int grey = picture.values[static_cast<std::size_t>(y * picture.shape[2] + x)];
      const auto near =
          std::find_if(greys.begin(), greys.end(), [&](int g) { return std::abs(g - grey) < 15; });
      blocks += near == greys.end() ? '?' : static_cast<char>('a' + (near - greys.begin()));
    }
  }
  return blocks;
}

}  // namespace

TEST_CASE("a digit fills 20 pixels, keeps its proportions, and has its centre of mass in the middle") {
  const IdxArray image = prepared(drawn(100, 120, 70, 20));
  CHECK(image.shape == std::vector<std::int64_t>{1, 28, 28});
  const InkBox box = box_of(image);
  CHECK(box.rows == 20);
  CHECK(box.columns == 10);
  CHECK(box.centre_x == Approx(14).margin(0.5));
  CHECK(box.centre_y == Approx(14).margin(0.5));
  CHECK(*std::max_element(image.values.begin(), image.values.end()) == 255);
}

TEST_CASE("where the digit stands, and whether it is dark or light, changes nothing") {
  const IdxArray image = prepared(drawn(100, 120, 70, 20));
  CHECK(prepared(drawn(100, 120, 5, 55)).values == image.values);
  CHECK(prepared(drawn(300, 80, 30, 200)).values == image.values);
  CHECK(prepared(turned_round(drawn(100, 120, 70, 20))).values == image.values);
}

TEST_CASE("shading, noise and specks of the paper are no ink") {
  const Bytes image = prepared(drawn(200, 200, 70, 20)).values;
  IdxArray paper = drawn(200, 200, 70, 20);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < paper.values.size(); ++i) {
    const auto shade = 220 - static_cast<int>(i % 200) / 3 - static_cast<int>(random() % 9);
    paper.values[i] = static_cast<std::uint8_t>(paper.values[i] == 255 ? shade - 110 : shade);
  }
  draw(paper, 180, 180, 3, 3, 20);
  const Bytes found = prepared(paper).values;
  for (std::size_t i = 0; i < image.size(); ++i) CHECK(std::abs(found[i] - image[i]) < 60);
}

TEST_CASE("other sizes of images have the same proportions") {
  const IdxArray image = prepare_digits(drawn(100, 100, 20, 20), {56, 42}, false, "some.png");
  CHECK(image.shape == std::vector<std::int64_t>{1, 56, 42});
  std::int64_t rows = 0;
  for (std::int64_t y = 0; y < 56; ++y) {
    const auto row = image.values.begin() + y * 42;
    rows += std::any_of(row, row + 42, [](int grey) { return grey > 0; }) ? 1 : 0;
  }
  CHECK(rows == 40);
}

TEST_CASE("a picture without ink is refused") {
  CHECK_THAT(refusal(sheet(50, 50, 200)), StartsWith("some.png: no ink stands out"));
  CHECK_THAT(refusal(sheet(1, 1, 7)), StartsWith("some.png: no ink stands out"));
  IdxArray noise = sheet(100, 100);
  std::mt19937 random(1);
  for (std::uint8_t& grey : noise.values) grey = static_cast<std::uint8_t>(180 + random() % 30);
  CHECK_THAT(refusal(noise), StartsWith("some.png: no ink stands out"));
}

TEST_CASE("several digits are counted, and read from left to right where that is wanted") {
  IdxArray picture = sheet(60, 200);
  draw(picture, 10, 10, 8, 40);  // 1
  draw(picture, 60, 10, 20, 8);  // the bar of a 5, above its body
  draw(picture, 55, 24, 8, 26);  // the body
  draw(picture, 55, 42, 20, 8);
  draw(picture, 120, 12, 8, 36);  // 1
  CHECK_THAT(refusal(picture), Contains("shows 3 digits side by side") && Contains("--digits"));
  const IdxArray digits = prepared(picture, true);
  REQUIRE(digits.shape == std::vector<std::int64_t>{3, 28, 28});
  IdxArray middle = sheet(60, 60);
  draw(middle, 20, 10, 20, 8);
  draw(middle, 15, 24, 8, 26);
  draw(middle, 15, 42, 20, 8);
  const Bytes alone = prepared(middle).values;
  CHECK(std::equal(alone.begin(), alone.end(), digits.values.begin() + 28 * 28));
}

TEST_CASE("every kind of file gives the same digit") {
  const IdxArray picture = turned_round(drawn(100, 120, 70, 20));
  for (const int format :
       {IFF_PNG, IFF_BMP, IFF_TIFF, IFF_TIFF_LZW, IFF_TIFF_ZIP, IFF_PNM, IFF_JFIF_JPEG, IFF_WEBP}) {
    const Bytes bytes = written(picture, format);
    if (format == IFF_WEBP && bytes.empty()) continue;  // a Leptonica without WebP
    CAPTURE(format);
    REQUIRE(is_picture(bytes));
    const IdxArray read = parse_picture(bytes, "some.file");
    CHECK(read.shape == picture.shape);
    const bool loses = format == IFF_JFIF_JPEG || format == IFF_WEBP;
    if (!loses) CHECK(read.values == picture.values);
    const InkBox box = box_of(prepared(read));
    CHECK(std::abs(box.rows - 20) <= (loses ? 1 : 0));
    CHECK(std::abs(box.columns - 10) <= (loses ? 1 : 0));
    CHECK(box.centre_x == Approx(14).margin(1));
    CHECK(box.centre_y == Approx(14).margin(1));
    const Bytes half(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2));
    CHECK_THROWS_AS(parse_picture(half, "some.file"), DataError);
  }
}

TEST_CASE("a photo is turned as its camera noted, and stays as it is where that cannot be read") {
  const std::vector<std::uint8_t> greys = {20, 60, 100, 150, 200, 250};
  IdxArray picture = sheet(32, 48);
  for (std::int64_t i = 0; i < 6; ++i) {
    draw(picture, 16 * (i % 3), 16 * (i / 3), 16, 16, greys[static_cast<std::size_t>(i)]);
  }
  const auto blocks = [&](const Bytes& bytes) { return blocks_of(parse_picture(bytes, "some.jpg"), greys); };
  CHECK(blocks(photo(picture, {})) == "abc/def");
  const std::vector<std::string> turned = {"abc/def",  "abc/def",  "cba/fed",  "fed/cba",  "def/abc",
                                           "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad", "abc/def"};
  for (int orientation = 0; orientation < 10; ++orientation) {
    CAPTURE(orientation);
    CHECK(blocks(photo(picture, exif_segment(orientation, true))) ==
          turned[static_cast<std::size_t>(orientation)]);
    CHECK(blocks(photo(picture, exif_segment(orientation, false))) ==
          turned[static_cast<std::size_t>(orientation)]);
  }
  const Bytes whole = exif_segment(6, true);
  for (std::size_t size = 4; size < whole.size(); ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    cut[3] = static_cast<std::uint8_t>(size - 2);
    CAPTURE(size);
    // The orientation stands 4 bytes before the end.
    CHECK(blocks(photo(picture, cut)) == (size < whole.size() - 2 ? "abc/def" : "da/eb/fc"));
  }
}
