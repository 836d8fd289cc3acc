// Zip archives, read. Every number of a file is taken for hostile until it is checked.
#include "handgrad/files/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/little_endian.h"

namespace handgrad {

namespace {

constexpr std::size_t local_header_size = 30;
constexpr std::size_t entry_size = 46;
constexpr std::size_t end_size = 22;
constexpr std::size_t end64_size = 56;
constexpr std::size_t locator64_size = 20;
constexpr std::size_t longest_comment = 0xffff;
constexpr std::uint64_t in_extra_field = 0xffffffff;  // a number of 32 bits that stands elsewhere with 64
constexpr std::uint64_t zip64_extra = 1;

class Reader {
 public:
  Reader(std::string_view file, const std::string& name) : file_(file), name_(name) {}

  [[noreturn]] void refuse(const std::string& reason) const {
    throw ModelError(
        fmt::format("{}: is a damaged file of torch.save: {}; write it again", printable(name_), reason));
  }

  std::string_view bytes(std::uint64_t place, std::uint64_t count) const {
    if (place > file_.size() || count > file_.size() - place) refuse("a part lies beyond its end");
    return file_.substr(static_cast<std::size_t>(place), static_cast<std::size_t>(count));
  }

  std::uint64_t number(std::uint64_t place, std::size_t count) const {
    return from_little_endian(bytes(place, count));
  }

  bool is_at(std::uint64_t place, const char* signature) const {
    return place <= file_.size() && file_.size() - place >= 4 &&
           bytes(place, 4) == std::string_view(signature, 4);
  }

  // The last record of the archive, which a comment may follow.
  std::uint64_t find_end() const {
    if (file_.size() < end_size) refuse("it has no central directory");
    const std::size_t last = file_.size() - end_size;
    const std::size_t first = last - std::min(last, longest_comment);
    for (std::size_t place = last + 1; place-- > first;) {
      if (is_at(place, "PK\x05\x06")) return place;
    }
    refuse("it has no central directory");
  }

 private:
  std::string_view file_;
  const std::string& name_;
};

// Takes a number from the zip64 extra field where that holds it.
void take64(const Reader& reader, std::uint64_t& value, std::uint64_t& place, std::uint64_t end) {
  if (value != in_extra_field) return;
  if (end - place < 8) reader.refuse("a file of it has no size or place");
  value = reader.number(place, 8);
  place += 8;
}

}  // namespace

ZipArchive::ZipArchive(std::string_view file, std::string name) : file_(file), name_(std::move(name)) {
  const Reader reader(file_, name_);
  const std::uint64_t end = reader.find_end();
  std::uint64_t count = reader.number(end + 10, 2);
  std::uint64_t place = reader.number(end + 16, 4);
  if (end >= locator64_size && reader.is_at(end - locator64_size, "PK\x06\x07")) {
    const std::uint64_t end64 = reader.number(end - locator64_size + 8, 8);
    if (!reader.is_at(end64, "PK\x06\x06")) reader.refuse("it has no central directory");
    reader.bytes(end64, end64_size);
    count = reader.number(end64 + 32, 8);
    place = reader.number(end64 + 48, 8);
  }
  std::uint64_t total = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!reader.is_at(place, "PK\x01\x02")) reader.refuse("its central directory ends too early");
    reader.bytes(place, entry_size);
    Entry entry;
    std::uint64_t packed = reader.number(place + 20, 4);
    entry.checksum = static_cast<std::uint32_t>(reader.number(place + 16, 4));
    entry.size = reader.number(place + 24, 4);
    entry.place = reader.number(place + 42, 4);
    const std::uint64_t name_size = reader.number(place + 28, 2);
    const std::uint64_t extra_size = reader.number(place + 30, 2);
    const std::uint64_t comment_size = reader.number(place + 32, 2);
    std::string path(reader.bytes(place + entry_size, name_size));
    std::uint64_t extra = place + entry_size + name_size;
    const std::uint64_t extra_end = extra + extra_size;
    reader.bytes(extra, extra_size);
    while (extra_end - extra >= 4) {
      const std::uint64_t kind = reader.number(extra, 2);
      const std::uint64_t field_end = extra + 4 + reader.number(extra + 2, 2);
      if (field_end > extra_end) reader.refuse("an extra field lies beyond its end");
      std::uint64_t field = extra + 4;
      if (kind == zip64_extra) {
        take64(reader, entry.size, field, field_end);
        take64(reader, packed, field, field_end);
        take64(reader, entry.place, field, field_end);
      }
      extra = field_end;
    }
    entry.stored = reader.number(place + 10, 2) == 0 && packed == entry.size;
    // Files that share their bytes could be as many times the size of the archive as there are names.
    if (packed > file_.size() - std::min<std::uint64_t>(total, file_.size())) {
      reader.refuse("its files are larger than it is");
    }
    total += packed;
    const std::size_t slash = path.find('/');
    if (slash != std::string::npos) path.erase(0, slash + 1);
    if (!entries_.emplace(path, entry).second) reader.refuse("it has a file twice");
    place = extra_end + comment_size;
  }
}

std::string_view ZipArchive::read(const std::string& record) const {
  const Reader reader(file_, name_);
  const auto found = entries_.find(record);
  if (found == entries_.end()) reader.refuse(fmt::format("it has no {}", printable_excerpt(record)));
  const Entry& entry = found->second;
  if (!entry.stored) reader.refuse(fmt::format("its {} is compressed, as torch.save writes none", record));
  if (!reader.is_at(entry.place, "PK\x03\x04")) reader.refuse(fmt::format("its {} is not there", record));
  reader.bytes(entry.place, local_header_size);
  const std::uint64_t skipped = reader.number(entry.place + 26, 2) + reader.number(entry.place + 28, 2);
  const std::string_view contents = reader.bytes(entry.place + local_header_size + skipped, entry.size);
  const uLong checksum =
      crc32_z(0, reinterpret_cast<const Bytef*>(contents.data()), static_cast<z_size_t>(contents.size()));
  if (checksum != entry.checksum) reader.refuse(fmt::format("the checksum of its {} is wrong", record));
  return contents;
}

}  // namespace handgrad
