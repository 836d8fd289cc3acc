// Files, gzip, IDX and PNG: what is written comes back, and whatever is damaged is refused with a message
// that says what to do.
#include "handgrad/base/printable.h"
#include "test.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <streambuf>

#include "handgrad/base/errors.h"
#include "handgrad/data/idx.h"
#include "handgrad/data/picture.h"
#include "handgrad/files/file.h"
#include "handgrad/files/temporary_directory.h"

using namespace handgrad;
using Catch::Contains;
using Catch::StartsWith;

namespace fs = std::filesystem;

namespace {

// The message of the Exception that the call throws; an exception of another type fails the test.
template <typename Exception, typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Exception& error) {
    const std::string message = error.what();
    return message.find('\n') == std::string::npos ? message : "a message of several lines";
  }
  return "nothing was thrown";
}

std::string idx_error(const Bytes& bytes) {
  return message_of<DataError>([&] { parse_idx(bytes, "some.idx"); });
}

std::string unpack_error(const Bytes& bytes, std::uint64_t limit = largest_file) {
  return message_of<DataError>([&] { unpack(bytes, "some.gz", limit); });
}

std::string png_error_of(const Bytes& bytes) {
  return message_of<DataError>([&] { parse_picture(bytes, "some.png"); });
}

std::string read_error(const fs::path& path) {
  return message_of<FileError>([&] { read_file(path); });
}

std::string write_error(const fs::path& path, std::string_view contents = "new") {
  return message_of<FileError>([&] { write_file(path, contents); });
}

Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes packed(deflateBound(&stream, bytes.size()));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  REQUIRE(result == Z_STREAM_END);
  return packed;
}

Bytes text(std::string_view characters) {
  return Bytes(characters.begin(), characters.end());
}

std::string_view view(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Bytes first(const Bytes& bytes, std::size_t count) {
  return Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
}

Bytes big_endian(std::uint32_t value) {
  Bytes bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(value >> shift));
  return bytes;
}

Bytes idx_header(const std::vector<std::uint32_t>& shape) {
  Bytes bytes{0, 0, 8, static_cast<std::uint8_t>(shape.size())};
  for (const std::uint32_t size : shape) bytes = bytes + big_endian(size);
  return bytes;
}

IdxArray small_images() {
  return {{2, 2, 3}, {0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255}};
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

using Names = std::vector<std::string>;

Bytes png_chunk(const std::string& type, const Bytes& data) {
  const Bytes body = text(type) + data;
  const auto checksum = crc32(0, body.data(), static_cast<uInt>(body.size()));
  return big_endian(static_cast<std::uint32_t>(data.size())) + body +
         big_endian(static_cast<std::uint32_t>(checksum));
}

// The kinds of PNG (ISO/IEC 15948, 11.2.2).
constexpr int png_grey = 0;
constexpr int png_rgb = 2;
constexpr int png_palette = 3;
constexpr int png_grey_alpha = 4;
constexpr int png_rgb_alpha = 6;

// A picture byte by byte, of kinds that serialize_png does not write. Each row of `rows` begins with its
// filter type.
Bytes make_png(std::uint32_t width, std::uint32_t height, int bits, int colour_type, const Bytes& rows,
               const Bytes& chunks_before_pixels = {}) {
  uLongf size = compressBound(rows.size());
  Bytes packed(size);
  REQUIRE(compress(packed.data(), &size, rows.data(), rows.size()) == Z_OK);
  packed.resize(size);
  const Bytes header =
      big_endian(width) + big_endian(height) +
      Bytes{static_cast<std::uint8_t>(bits), static_cast<std::uint8_t>(colour_type), 0, 0, 0};
  return Bytes{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'} + png_chunk("IHDR", header) +
         chunks_before_pixels + png_chunk("IDAT", packed) + png_chunk("IEND", {});
}

Bytes write_grey_png(std::uint32_t width, std::uint32_t height, const Bytes& pixels) {
  return serialize_png({{1, height, width}, pixels});
}

// A disk that is full after `size` bytes of each file.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t size) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    const rlimit limit{size, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

// The superuser may read everything, so a test of permissions has to act as somebody else.
class OrdinaryUser {
 public:
  OrdinaryUser() : was_superuser_(::geteuid() == 0) {
    constexpr uid_t nobody = 65534;
    if (was_superuser_) REQUIRE(::seteuid(nobody) == 0);
  }
  ~OrdinaryUser() {
    if (was_superuser_ && ::seteuid(0) != 0) std::abort();
  }

 private:
  bool was_superuser_;
};

}  // namespace

TEST_CASE("an IDX array comes back from its bytes") {
  const IdxArray labels{{5}, {7, 2, 1, 0, 4}};
  const IdxArray rows{{2, 2}, {1, 2, 3, 4}};
  for (const IdxArray& array : {labels, rows, small_images()}) {
    const IdxArray again = parse_idx(serialize_idx(array), "some.idx");
    CHECK(again.shape == array.shape);
    CHECK(again.values == array.values);
  }
}

TEST_CASE("the IDX bytes are those of the format") {
  CHECK(serialize_idx({{1, 2, 3}, {9, 8, 7, 6, 5, 4}}) ==
        Bytes{0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 8, 7, 6, 5, 4});
  CHECK(serialize_idx({{258}, Bytes(258)})[6] == 1);
  CHECK(parse_idx(idx_header({258}) + Bytes(258), "some.idx").shape == std::vector<std::int64_t>{258});
}

TEST_CASE("rows and columns may be 4096 long") {
  CHECK(parse_idx(idx_header({1, 1, 4096}) + Bytes(4096), "some.idx").shape[2] == 4096);
  CHECK_THAT(idx_error(idx_header({1, 1, 4097}) + Bytes(4097)),
             Contains("dimension 3 of 3 is 4097; 1 to 4096"));
  CHECK_THAT(idx_error(idx_header({1, 4097, 1}) + Bytes(4097)),
             Contains("dimension 2 of 3 is 4097; 1 to 4096"));
}

TEST_CASE("an array that the IDX format cannot hold is not serialized") {
  const auto error = [](const IdxArray& array) {
    return message_of<DataError>([&] { serialize_idx(array); });
  };
  CHECK_THAT(error({{}, {1}}), Contains("0 dimensions"));
  CHECK_THAT(error({{1, 1, 1, 1}, {1}}), Contains("4 dimensions"));
  CHECK_THAT(error({{2, 3}, Bytes(5)}), Contains("2 x 3 asks for 6 values, but it holds 5"));
  CHECK_THAT(error({{-1}, {}}), Contains("dimension 1 of 1 is -1"));
  CHECK_THAT(error({{std::int64_t{1} << 32}, {}}), Contains("dimension 1 of 1 is 4294967296"));
}

TEST_CASE("bytes that are not IDX are refused with the likely reason") {
  CHECK_THAT(idx_error({}), StartsWith("some.idx: is 0 bytes long"));
  CHECK_THAT(idx_error({0, 0, 8}), Contains("is 3 bytes long"));
  CHECK_THAT(idx_error(text("<!DOCTYPE html>")), Contains("3c 21") && Contains("looks like a web page"));
  CHECK_THAT(idx_error(text("PK\x03\x04 archive")), Contains("zip archive"));
  CHECK_THAT(idx_error(text("\x89PNG picture")), Contains("PNG picture"));
  CHECK_THAT(idx_error(gzip(text("twice"))), Contains("gzip in gzip"));
  CHECK_THAT(idx_error(text("anything")), Contains("61 6e") && Contains("another kind of file"));
  CHECK_THAT(idx_error({0, 1, 8, 1, 0, 0, 0, 1, 5}), Contains("00 01"));
}

TEST_CASE("values other than unsigned bytes are refused") {
  for (const std::uint8_t type : {0x00, 0x07, 0x09, 0x0b, 0x0c, 0x0d, 0x0e, 0xff}) {
    CHECK_THAT(idx_error({0, 0, type, 1, 0, 0, 0, 1, 5}), Contains(type == 0x0d ? "type 0x0d" : "only 0x08"));
  }
}

TEST_CASE("malformed IDX dimensions are refused") {
  CHECK_THAT(idx_error({0, 0, 8, 0}), Contains("has 0 dimensions; 1 (labels) to 3 (images)"));
  CHECK_THAT(idx_error(idx_header({1, 1, 1, 1}) + Bytes{5}), Contains("has 4 dimensions"));
  CHECK_THAT(idx_error({0, 0, 8, 255}), Contains("has 255 dimensions"));
  CHECK_THAT(idx_error({0, 0, 8, 3, 0, 0, 0, 1}), Contains("is 8 bytes long") && Contains("takes 16"));
  CHECK_THAT(idx_error(idx_header({0})), Contains("dimension 1 of 1 is 0"));
  CHECK_THAT(idx_error(idx_header({3, 0, 2})), Contains("dimension 2 of 3 is 0"));
  CHECK_THAT(idx_error(idx_header({0xffffffff, 2})),
             Contains("4294967295 x 2 is more than 4294967296 values"));
  CHECK_THAT(idx_error(idx_header({0x80000000, 4096, 4096})), Contains("is more than"));
  CHECK_THAT(idx_error(idx_header({0x80000000, 0x80000000, 4})), Contains("dimension 2 of 3 is 2147483648"));
}

TEST_CASE("an IDX file with too few or too many values is refused with both numbers") {
  const Bytes bytes = serialize_idx(small_images());
  CHECK_THAT(idx_error(first(bytes, bytes.size() - 1)),
             Contains("2 x 2 x 3 asks for 12 values, but after the header there are 11;"));
  CHECK_THAT(idx_error(bytes + Bytes{0}), Contains("asks for 12 values, but after the header there are 13;"));
  CHECK_THAT(idx_error(idx_header({0xffffffff})),
             Contains("asks for 4294967295 values, but after the header there are 0;"));
}

TEST_CASE("an IDX file that is cut short anywhere is refused") {
  const Bytes bytes = serialize_idx(small_images());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    CHECK_THAT(idx_error(first(bytes, size)), StartsWith("some.idx: "));
  }
}

TEST_CASE("every change of one byte of an IDX header is refused") {
  const Bytes bytes = serialize_idx(small_images());
  for (std::size_t at = 0; at < 16; ++at) {
    for (int change = 1; change < 256; ++change) {
      Bytes damaged = bytes;
      damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ change);
      CAPTURE(at, change);
      CHECK_THAT(idx_error(damaged), StartsWith("some.idx: "));
    }
  }
}

TEST_CASE("messages stay on one line whatever the name holds") {
  const TemporaryDirectory directory;
  CHECK(printable("a\nb\x7f\tc d\xc3\xa9") == "a?b??c d\xc3\xa9");
  CHECK_FALSE(printable("").empty());
  CHECK_THAT(message_of<DataError>([] { parse_idx({}, "two\nlines"); }), StartsWith("two?lines: "));
  CHECK_THAT(message_of<DataError>([] { parse_picture({}, "two\nlines"); }), StartsWith("two?lines: "));
  CHECK_THAT(message_of<DataError>([] { unpack({0x1f, 0x8b}, "two\nlines"); }), StartsWith("two?lines: "));
  CHECK_THAT(read_error(directory / "two\nlines"), Contains("two?lines: "));
  CHECK_THAT(write_error(directory / "none" / "two\nlines"), Contains("two?lines: "));
}

TEST_CASE("a file is read whether it is plain or gzip, whatever its name") {
  const TemporaryDirectory directory;
  const Bytes contents = serialize_idx(small_images());
  for (const char* name : {"images", "images.gz"}) {
    write_file(directory / name, view(contents));
    CHECK(read_file(directory / name) == contents);
    write_file(directory / name, view(gzip(contents)));
    CHECK(read_file(directory / name) == contents);
  }
  write_file(directory / "empty", "");
  CHECK(read_file(directory / "empty").empty());
  CHECK(unpack(gzip({}), "some.gz").empty());
}

TEST_CASE("files larger than the blocks that they are read in come back whole") {
  const TemporaryDirectory directory;
  Bytes contents(1000003);
  std::uint32_t state = 1;
  for (auto& value : contents) {
    state = state * 1664525 + 1013904223;
    value = static_cast<std::uint8_t>(state >> 24);
  }
  write_file(directory / "plain", view(contents));
  CHECK((read_file(directory / "plain") == contents));
  const Bytes packed = gzip(contents);
  REQUIRE(packed.size() > 500000);
  CHECK((unpack(packed, "some.gz") == contents));
}

TEST_CASE("a stream is read like a file") {
  const Bytes contents = serialize_idx(small_images());
  for (const Bytes& bytes : {contents, gzip(contents), Bytes{}}) {
    std::istringstream stream{std::string(view(bytes))};
    CHECK(read_stream(stream, "standard input") == (bytes.empty() ? bytes : contents));
  }
  std::istringstream damaged{std::string(view(first(gzip(contents), 20)))};
  CHECK_THAT(message_of<DataError>([&] { read_stream(damaged, "standard input"); }),
             StartsWith("standard input: ") && Contains("cut short"));
}

TEST_CASE("a stream that fails is not taken for one that ends") {
  struct Failing : std::streambuf {
    int_type underflow() override { throw std::runtime_error("no more"); }
  } failing;
  std::istream stream(&failing);
  CHECK_THAT(message_of<FileError>([&] { read_stream(stream, "standard input"); }),
             Contains("cannot be read to its end"));
  std::ifstream missing(TemporaryDirectory() / "missing");
  CHECK_THAT(message_of<FileError>([&] { read_stream(missing, "standard input"); }),
             Contains("cannot be read"));
}

TEST_CASE("concatenated gzip members are one file") {
  const Bytes three = gzip(text("one ")) + gzip({}) + gzip(text("two"));
  CHECK(unpack(three, "some.gz") == text("one two"));
  CHECK_THAT(unpack_error(first(three, three.size() - 1)), Contains("cut short"));
}

TEST_CASE("anything but gzip after a gzip stream is refused") {
  const Bytes packed = gzip(text("contents"));
  CHECK_THAT(unpack_error(packed + text("junk!")),
             Contains("what follows the gzip stream, 5 bytes, is not gzip"));
  CHECK_THAT(unpack_error(packed + Bytes{0}), Contains("not gzip"));
  CHECK_THAT(unpack_error(packed + Bytes{0x1f}), Contains("not gzip"));
  CHECK_THAT(unpack_error(packed + Bytes{0x1f, 0x8b}), Contains("cut short"));
}

TEST_CASE("a gzip stream that is cut short anywhere is refused") {
  const Bytes packed = gzip(serialize_idx(small_images()));
  for (std::size_t size = 2; size < packed.size(); ++size) {
    CAPTURE(size);
    CHECK_THAT(unpack_error(first(packed, size)),
               StartsWith("some.gz: the gzip stream ends early; the file was cut short: fetch it again"));
  }
  // Shorter than the magic number it is not known to be gzip, but it is no data either.
  CHECK_THAT(idx_error(unpack(first(packed, 1), "some.gz")), Contains("is 1 byte long"));
}

TEST_CASE("a damaged gzip stream never unpacks to other contents") {
  const Bytes contents = serialize_idx(small_images());
  const Bytes packed = gzip(contents);
  for (std::size_t at = 2; at < packed.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = packed;
      damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ 1 << bit);
      CAPTURE(at, bit);
      // Some bits say nothing about the contents: the time of packing, for one.
      Bytes unpacked;
      try {
        unpacked = unpack(damaged, "some.gz");
      } catch (const DataError&) {
        continue;
      }
      CHECK(unpacked == contents);
    }
  }
  Bytes wrong_checksum = packed;
  wrong_checksum[packed.size() - 8] ^= 1;
  CHECK_THAT(unpack_error(wrong_checksum), Contains("damaged (incorrect data check)"));
  Bytes wrong_length = packed;
  wrong_length[packed.size() - 4] ^= 1;
  CHECK_THAT(unpack_error(wrong_length), Contains("damaged (incorrect length check)"));
}

TEST_CASE("no more is unpacked than the limit") {
  const Bytes contents(100000);
  for (const Bytes& bytes : {contents, gzip(contents), gzip(Bytes(40000)) + gzip(Bytes(60000))}) {
    CHECK((unpack(bytes, "some.gz", 100000) == contents));
    CHECK_THAT(unpack_error(bytes, 99999), Contains("more than 99999 bytes"));
  }
}

TEST_CASE("what cannot be read is a file error with the system's reason") {
  const TemporaryDirectory directory;
  CHECK_THAT(read_error(directory / "missing"),
             StartsWith((directory / "missing").string()) && Contains("No such file or directory"));
  CHECK_THAT(read_error(directory.path()), Contains("Is a directory"));
  CHECK_THAT(read_error(""), Contains("No such file or directory"));
  write_file(directory / "file", "contents");
  CHECK_THAT(read_error(directory / "file" / "below"), Contains("Not a directory"));
  fs::permissions(directory / "file", fs::perms::none);
  const OrdinaryUser user;
  CHECK_THAT(read_error(directory / "file"), Contains("Permission denied"));
}

TEST_CASE("writing replaces a file and leaves nothing else") {
  const TemporaryDirectory directory;
  write_file(directory / "file", "a long first version");
  write_file(directory / "file", "second");
  CHECK(read_file(directory / "file") == text("second"));
  CHECK(names_in(directory.path()) == Names{"file"});
}

TEST_CASE("a reader of the old file keeps the old contents") {
  const TemporaryDirectory directory;
  write_file(directory / "file", "old");
  std::ifstream reader(directory / "file");
  write_file(directory / "file", "new");
  std::string contents;
  reader >> contents;
  CHECK(contents == "old");
}

TEST_CASE("a new file has the usual permissions, a replaced one keeps its own") {
  const TemporaryDirectory directory;
  const mode_t mask = ::umask(022);
  write_file(directory / "file", "old");
  ::umask(mask);
  CHECK(fs::status(directory / "file").permissions() == static_cast<fs::perms>(0644));
  fs::permissions(directory / "file", static_cast<fs::perms>(0600));
  write_file(directory / "file", "new");
  CHECK(fs::status(directory / "file").permissions() == static_cast<fs::perms>(0600));
}

TEST_CASE("writing to a symbolic link replaces the file that it names") {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "elsewhere");
  write_file(directory / "elsewhere" / "file", "old");
  fs::create_symlink("elsewhere/file", directory / "link");
  write_file(directory / "link", "new");
  CHECK(fs::is_symlink(directory / "link"));
  CHECK(read_file(directory / "elsewhere" / "file") == text("new"));
  fs::create_symlink("nowhere/file", directory / "dangling");
  CHECK_THAT(write_error(directory / "dangling"), Contains("No such file or directory"));
  CHECK(fs::is_symlink(directory / "dangling"));
}

TEST_CASE("a name without a directory is written to the current one") {
  const TemporaryDirectory directory;
  const fs::path before = fs::current_path();
  fs::current_path(directory.path());
  std::string message;
  try {
    write_file("file", "contents");
  } catch (const Error& error) {
    message = error.what();
  }
  fs::current_path(before);
  CHECK(message == "");
  CHECK(read_file(directory / "file") == text("contents"));
}

TEST_CASE("a temporary file that was left behind does not stand in the way") {
  const TemporaryDirectory directory;
  // The names are counted; whichever the next ones are, some are taken.
  Names names{"file"};
  for (int i = 0; i < 1000; ++i) {
    names.push_back(".handgrad-" + std::to_string(::getpid()) + "-" + std::to_string(i) + ".tmp");
    std::ofstream(directory / names.back()) << "left";
  }
  write_file(directory / "file", "contents");
  CHECK(read_file(directory / "file") == text("contents"));
  std::sort(names.begin(), names.end());
  CHECK(names_in(directory.path()) == names);
}

TEST_CASE("a place that cannot be written is a file error and is left as it was") {
  const TemporaryDirectory directory;
  write_file(directory / "file", "old");
  fs::create_directory(directory / "folder");
  const fs::path pipe = directory / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);

  CHECK_THAT(write_error(directory / "folder"),
             StartsWith((directory / "folder").string()) && Contains("Is a directory"));
  CHECK_THAT(write_error(pipe), Contains("device, pipe or socket"));
  CHECK_THAT(write_error(directory / "missing" / "file"), Contains("No such file or directory"));
  CHECK_THAT(write_error(directory / "file" / "below"), Contains("Not a directory"));
  CHECK_THAT(write_error(directory / "new/"), Contains("opening its directory: No such file or directory"));
  CHECK_THAT(write_error(directory / std::string(300, 'n')), Contains("File name too long"));
  CHECK_THAT(write_error(""), Contains("No such file or directory"));

  CHECK(read_file(directory / "file") == text("old"));
  CHECK(fs::is_fifo(pipe));
  CHECK(names_in(directory.path()) == Names{"file", "folder", "pipe"});
  CHECK(names_in(directory / "folder").empty());
}

TEST_CASE("a directory without write permission is a file error") {
  const TemporaryDirectory directory;
  fs::permissions(directory.path(), static_cast<fs::perms>(0555));
  std::string message;
  {
    const OrdinaryUser user;
    message = write_error(directory / "file");
  }
  fs::permissions(directory.path(), static_cast<fs::perms>(0755));
  CHECK_THAT(message, Contains("creating a file in its directory: Permission denied"));
  CHECK(names_in(directory.path()).empty());
}

TEST_CASE("a write that fails half way leaves the old contents and no temporary file") {
  const TemporaryDirectory directory;
  write_file(directory / "file", "old");
  std::string message;
  {
    const FileSizeLimit limit(1000);
    message = write_error(directory / "file", std::string(5000, 'n'));
  }
  CHECK_THAT(message, Contains("writing: File too large") && Contains("earlier contents are unchanged"));
  CHECK(read_file(directory / "file") == text("old"));
  CHECK(names_in(directory.path()) == Names{"file"});
}

TEST_CASE("every grey value of a PNG picture comes back") {
  Bytes pixels(256);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i);
  Bytes rows;
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    if (i % 32 == 0) rows.push_back(0);
    rows.push_back(pixels[i]);
  }
  for (const Bytes& bytes : {write_grey_png(32, 8, pixels), make_png(32, 8, 8, png_grey, rows)}) {
    CHECK(is_picture(bytes));
    const IdxArray picture = parse_picture(bytes, "some.png");
    CHECK(picture.shape == std::vector<std::int64_t>{1, 8, 32});
    CHECK(picture.values == pixels);
  }
}

TEST_CASE("a picture that is written as PNG is read back") {
  IdxArray picture{{1, 3, 50}, {}};
  for (int i = 0; i < 150; ++i) picture.values.push_back(static_cast<std::uint8_t>(i * 37));
  const IdxArray read = parse_picture(serialize_png(picture), "some.png");
  CHECK(read.shape == picture.shape);
  CHECK(read.values == picture.values);
  CHECK_THROWS_AS(serialize_png({{1, 0, 0}, {}}), DataError);
}

TEST_CASE("only the whole signature is taken for a picture") {
  const Bytes bytes = write_grey_png(1, 1, {0});
  CHECK(is_picture(first(bytes, picture_signature_size)));
  CHECK_FALSE(is_picture(first(bytes, picture_signature_size - 1)));
  CHECK_FALSE(is_picture({}));
  CHECK_FALSE(is_picture(serialize_idx(small_images())));
  for (const char* name :
       {"P5.png is a name\n", "BMW.png is a name\n", "RIFF.webp is a name", "MM.png is a name"}) {
    CAPTURE(name);
    CHECK_FALSE(is_picture(text(name)));
  }
}

TEST_CASE("colour becomes grey by its brightness") {
  const Bytes row{0, 255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0};
  const Bytes grey = parse_picture(make_png(5, 1, 8, png_rgb, row), "some.png").values;
  REQUIRE(grey.size() == 5);
  CHECK(grey[0] == 255);
  CHECK(grey[2] > grey[1]);
  CHECK(grey[1] > grey[3]);
  CHECK(grey[3] > grey[4]);
  CHECK(grey[4] == 0);
}

TEST_CASE("palettes and single bits are unpacked") {
  const Bytes palette = png_chunk("PLTE", {255, 255, 255, 0, 0, 0});
  const Bytes row{0, 0b10110000};
  CHECK(parse_picture(make_png(4, 1, 1, png_palette, row, palette), "some.png").values ==
        Bytes{0, 255, 0, 0});
  CHECK(parse_picture(make_png(4, 1, 1, png_grey, row), "some.png").values == Bytes{255, 0, 255, 255});
}

TEST_CASE("transparency shows white behind dark ink and black behind light ink, in every kind of PNG") {
  const auto values = [](int bits, int colour_type, const Bytes& row, const Bytes& chunks = {}) {
    return parse_picture(make_png(2, 1, bits, colour_type, row, chunks), "some.png").values;
  };
  const Bytes dark{0, 255};
  const Bytes light{255, 0};
  CHECK(values(8, png_grey_alpha, {0, 0, 255, 0, 0}) == dark);
  CHECK(values(8, png_grey_alpha, {0, 255, 255, 0, 0}) == light);
  CHECK(values(16, png_grey_alpha, {0, 0, 0, 255, 255, 0, 0, 0, 0}) == dark);
  CHECK(values(16, png_grey_alpha, {0, 255, 255, 255, 255, 0, 0, 0, 0}) == light);
  CHECK(values(8, png_rgb_alpha, {0, 0, 0, 0, 255, 0, 0, 0, 0}) == dark);
  CHECK(values(8, png_rgb_alpha, {0, 255, 255, 255, 255, 0, 0, 0, 0}) == light);
  CHECK(values(16, png_rgb_alpha, Bytes{0} + Bytes(6, 255) + Bytes(2, 255) + Bytes(8, 0)) == light);
  // A single transparent colour stays what it is.
  CHECK(values(8, png_rgb, {0, 255, 255, 255, 2, 2, 2}, png_chunk("tRNS", {0, 2, 0, 2, 0, 2})) ==
        Bytes{255, 2});
  const Bytes palette = png_chunk("PLTE", {255, 255, 255, 0, 0, 0});
  CHECK(values(8, png_palette, {0, 1, 0}, palette + png_chunk("tRNS", {0})) == dark);
  CHECK(values(8, png_palette, {0, 0, 1}, palette + png_chunk("tRNS", {255, 0})) == light);
}

TEST_CASE("what is half transparent is mixed with the ground, and ink is judged by what is seen of it") {
  const auto values = [](const Bytes& grey_and_opacity) {
    return parse_picture(make_png(static_cast<std::uint32_t>(grey_and_opacity.size() / 2), 1, 8,
                                  png_grey_alpha, Bytes{0} + grey_and_opacity),
                         "some.png")
        .values;
  };
  CHECK(values({50, 255, 50, 51, 50, 0}) == Bytes{50, 214, 255});
  CHECK(values({200, 255, 200, 51, 200, 0}) == Bytes{200, 40, 0});
  // As many pixels of each: the more opaque ones decide, the invisible ones do not count.
  CHECK(values({0, 200, 255, 100, 255, 0}) == Bytes{55, 255, 255});
  CHECK(values({0, 100, 255, 200, 0, 0}) == Bytes{0, 200, 0});
  CHECK(values({127, 255, 0, 0}) == Bytes{127, 255});
  CHECK(values({128, 255, 0, 0}) == Bytes{128, 0});
  // Where nothing is transparent, nothing changes.
  CHECK(values({0, 255, 10, 255, 255, 255}) == Bytes{0, 10, 255});
  CHECK_THAT(png_error_of(make_png(2, 1, 8, png_grey_alpha, Bytes{0, 9, 0, 200, 0})),
             StartsWith("some.png: every pixel is fully transparent"));
}

TEST_CASE("16 bits keep their brightness") {
  const Bytes row{0, 0, 0, 0x80, 0x80, 0xff, 0xff};
  CHECK(parse_picture(make_png(3, 1, 16, png_grey, row), "some.png").values == Bytes{0, 0x80, 0xff});
}

TEST_CASE("a picture of more than 40 million pixels is refused by its header") {
  CHECK(parse_picture(make_png(5000, 1, 8, png_grey, Bytes(5001)), "some.png").shape[2] == 5000);
  // Before any memory is taken for the pixels, which these do not even have.
  CHECK_THAT(png_error_of(make_png(8000, 5001, 8, png_grey, {})),
             StartsWith("some.png: is 8000 × 5001 pixels; at most 40 million"));
  CHECK_THAT(png_error_of(text("P5 8000 5001 255\n")), StartsWith("some.png: is 8000 × 5001 pixels"));
  CHECK_THAT(png_error_of(make_png(8000, 5000, 8, png_grey, {})), Contains("damaged, cut short"));
}

TEST_CASE("a PNG picture that is cut short anywhere before its end is refused") {
  const Bytes bytes = write_grey_png(4, 3, Bytes(12, 77));
  constexpr std::size_t end_chunk = 12;
  for (std::size_t size = 0; size < bytes.size() - end_chunk; ++size) {
    CAPTURE(size);
    CHECK_THAT(
        png_error_of(first(bytes, size)),
        StartsWith(size < 12 ? "some.png: is neither a picture" : "some.png: the picture cannot be read;"));
  }
}

TEST_CASE("a damaged PNG picture never reads as another") {
  const Bytes pixels{0, 50, 100, 150, 200, 250};
  const Bytes bytes = write_grey_png(3, 2, pixels);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = bytes;
      damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ 1 << bit);
      CAPTURE(at, bit);
      Bytes values;
      try {
        values = parse_picture(damaged, "some.png").values;
      } catch (const DataError&) {
        continue;
      }
      CHECK(values == pixels);
    }
  }
}
