// Whole files in and out: gzip is unpacked on the way in, files are replaced in one step on the way out.
#include "handgrad/files/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <istream>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/base/printable.h"
#include "handgrad/files/little_endian.h"

namespace handgrad {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t block_size = std::size_t{1} << 16;

std::string reason(int error) {
  return std::generic_category().message(error);
}

// A signal that the program handles must not fail a read or a write.
template <typename Call>
auto retry_interrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

FileFault& file_fault() {
  static FileFault fault;
  return fault;
}

// What a test has this system call do: fail, write short, or neither. Sets errno where it fails.
enum class Fault { none, fail, write_short };

Fault fault_at(std::string_view call) {
  if (!file_fault()) return Fault::none;
  const int error = file_fault()(call);
  if (error == 0) return Fault::none;
  if (error == short_write) return Fault::write_short;
  errno = error;
  return Fault::fail;
}

template <typename Call>
auto faulty(std::string_view name, Call call) -> decltype(call()) {
  return fault_at(name) == Fault::fail ? -1 : call();
}

// Takes what was written off the front of `contents`; −1 where that is not all of it.
int write_all(int descriptor, std::string_view& contents) {
  while (!contents.empty()) {
    const Fault fault = fault_at("write");
    if (fault == Fault::fail) return -1;
    const std::size_t size = fault == Fault::write_short ? 1 : contents.size();
    const ssize_t count = retry_interrupted([&] { return ::write(descriptor, contents.data(), size); });
    if (count < 0) return -1;
    contents.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

int flush_to_disk(int descriptor, std::string_view name) {
  return faulty(name, [&] { return retry_interrupted([&] { return ::fsync(descriptor); }); });
}

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }

  int number() const { return number_; }
  void set(int number) { number_ = number; }
  int close() { return number_ < 0 ? 0 : ::close(std::exchange(number_, -1)); }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

[[noreturn]] void refuse_size(const std::string& name, std::uint64_t limit) {
  throw DataError(fmt::format("{}: holds more than {} bytes, the most that is read; give a smaller file",
                              printable(name), limit));
}

// Collects blocks until `read_block(data, size)`, which returns how many bytes it read, returns 0.
template <typename ReadBlock>
Bytes read_blocks(const std::string& name, ReadBlock read_block) {
  Bytes bytes;
  std::array<char, block_size> block;
  while (const std::size_t count = read_block(block.data(), block.size())) {
    if (count > largest_file - bytes.size()) refuse_size(name, largest_file);
    bytes.insert(bytes.end(), block.data(), block.data() + count);
  }
  return bytes;
}

bool is_gzip(const std::uint8_t* bytes, std::size_t size) {
  return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

// The file that takes the new contents until they replace the target's. It lies in the target's directory,
// because a rename is one step only within a file system.
class TemporaryFile {
 public:
  explicit TemporaryFile(int directory) : directory_(directory) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!name_.empty()) ::unlinkat(directory_, name_.c_str(), 0);
  }

  int create() {
    static std::atomic<unsigned> next{0};
    std::string name;
    // A name may be left over from a process that was killed, or in use by another machine on a shared disk.
    do {
      name = fmt::format(".handgrad-{}-{}.tmp", ::getpid(), next++);
      file_.set(faulty("open", [&] {
        return ::openat(directory_, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      }));
    } while (file_.number() < 0 && (errno == EEXIST || errno == EINTR));
    if (file_.number() >= 0) name_ = std::move(name);
    return file_.number();
  }

  int set_permissions(fs::perms permissions) {
    return faulty("fchmod", [&] { return ::fchmod(file_.number(), static_cast<mode_t>(permissions)); });
  }

  int write(std::string_view contents) { return write_all(file_.number(), contents); }

  int flush() { return flush_to_disk(file_.number(), "fsync"); }

  int close() {
    return faulty("close", [&] { return file_.close(); });
  }

  const std::string& name() const { return name_; }

  int rename(const fs::path& target) {
    const int result =
        faulty("rename", [&] { return ::renameat(directory_, name_.c_str(), directory_, target.c_str()); });
    if (result == 0) name_.clear();
    return result;
  }

  // Makes the rename itself durable.
  int flush_directory() {
    const int result = flush_to_disk(directory_, "fsync directory");
    // Some file systems have no such operation for directories.
    return result < 0 && errno == EINVAL ? 0 : result;
  }

 private:
  int directory_;
  Descriptor file_;
  std::string name_;
};

// How long the last member of a gzip file says to be unpacked (RFC 1952, section 2.3.1), as far as that can be believed.
std::uint64_t said_size(const Bytes& bytes) {
  constexpr std::size_t field = 4;
  constexpr std::uint64_t likely_ratio = 8;
  const std::string_view end = as_text(bytes).substr(bytes.size() - std::min(bytes.size(), field));
  return std::min(from_little_endian(end), likely_ratio * bytes.size());
}

}  // namespace

Bytes unpack(Bytes bytes, const std::string& name, std::uint64_t limit) {
  if (!is_gzip(bytes.data(), bytes.size())) {
    if (bytes.size() > limit) refuse_size(name, limit);
    return bytes;
  }

  z_stream stream{};
  constexpr int gzip_only = 15 + 16;
  if (inflateInit2(&stream, gzip_only) != Z_OK) throw std::bad_alloc();
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> ending(&stream, &inflateEnd);

  Bytes unpacked;
  unpacked.reserve(std::min(said_size(bytes), limit));
  std::array<std::uint8_t, block_size> block;
  std::size_t left = bytes.size();
  stream.next_in = bytes.data();
  // A gzip file is one or more members, each a stream of its own.
  while (left > 0) {
    if (!is_gzip(stream.next_in, left)) {
      throw DataError(fmt::format(
          "{}: what follows the gzip stream, {}, is not gzip; the file is damaged: fetch it again",
          printable(name), counted(left, "byte")));
    }
    inflateReset(&stream);
    int result = Z_OK;
    while (result != Z_STREAM_END) {
      const auto given = static_cast<uInt>(std::min(left, block_size));
      stream.avail_in = given;
      stream.next_out = block.data();
      stream.avail_out = static_cast<uInt>(block.size());
      result = inflate(&stream, Z_NO_FLUSH);
      left -= given - stream.avail_in;
      if (result == Z_MEM_ERROR) throw std::bad_alloc();
      if (result == Z_BUF_ERROR) {
        throw DataError(fmt::format("{}: the gzip stream ends early; the file was cut short: fetch it again",
                                    printable(name)));
      }
      if (result != Z_OK && result != Z_STREAM_END) {
        throw DataError(fmt::format("{}: the gzip stream is damaged ({}): fetch it again", printable(name),
                                    stream.msg ? stream.msg : "not a gzip stream"));
      }
      const std::size_t count = block.size() - stream.avail_out;
      if (count > limit - unpacked.size()) refuse_size(name, limit);
      unpacked.insert(unpacked.end(), block.data(), block.data() + count);
    }
  }
  return unpacked;
}

Bytes read_file(const fs::path& path) {
  const std::string name = path.string();
  const auto check = [&](auto result) {
    if (result < 0) {
      const int error = errno;
      throw FileError(fmt::format("{}: cannot be read: {}; give the path of a file that can be read",
                                  printable(name), reason(error)));
    }
    return result;
  };
  // To open a pipe would wait for a writer.
  const Descriptor file(
      check(retry_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); })));
  struct stat status {};
  check(::fstat(file.number(), &status));
  if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    throw FileError(fmt::format("{}: cannot be read: it is a device, pipe or socket; name a regular file",
                                printable(name)));
  }
  Bytes bytes = read_blocks(name, [&](char* data, std::size_t size) {
    return static_cast<std::size_t>(
        check(retry_interrupted([&] { return ::read(file.number(), data, size); })));
  });
  return unpack(std::move(bytes), name);
}

Bytes read_stream(std::istream& stream, const std::string& name, std::string_view head) {
  Bytes bytes = read_blocks(name, [&](char* data, std::size_t size) {
    if (!head.empty()) {
      const std::size_t copied = head.copy(data, size);
      head.remove_prefix(copied);
      return copied;
    }
    stream.read(data, static_cast<std::streamsize>(size));
    return static_cast<std::size_t>(stream.gcount());
  });
  if (stream.bad() || !stream.eof()) {
    throw FileError(fmt::format("{}: cannot be read to its end; check where it comes from", printable(name)));
  }
  return unpack(std::move(bytes), name);
}

void write_file(const fs::path& path, std::string_view contents, const FileCheck& check_file) {
  const auto fail = [&](std::string_view step, int error) {
    throw FileError(
        fmt::format("{}: cannot be written: {}: {}; any earlier contents are unchanged: check the path, its "
                    "permissions and the free space",
                    printable(path.string()), step, reason(error)));
  };
  const auto check = [&](int result, std::string_view step) {
    if (result < 0) fail(step, errno);
    return result;
  };

  std::error_code error;
  const fs::path target = fs::is_symlink(fs::symlink_status(path, error)) ? fs::canonical(path, error) : path;
  if (target.empty()) fail("finding the file", error ? error.value() : ENOENT);
  const fs::file_status earlier = fs::status(target, error);
  if (fs::is_directory(earlier)) fail("replacing the file", EISDIR);
  if (fs::exists(earlier) && !fs::is_regular_file(earlier)) {
    throw FileError(fmt::format("{}: cannot be written: it is a device, pipe or socket; name a regular file",
                                printable(path.string())));
  }

  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  const Descriptor directory(
      check(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "opening its directory"));
  TemporaryFile file(directory.number());
  check(file.create(), "creating a file in its directory");
  if (fs::exists(earlier)) check(file.set_permissions(earlier.permissions()), "keeping its permissions");
  check(file.write(contents), "writing");
  check(file.flush(), "flushing to disk");
  check(file.close(), "closing");
  if (check_file) check_file(parent / file.name());
  check(file.rename(target.filename()), "replacing the file");
  if (file.flush_directory() < 0) {
    const int flush_error = errno;
    throw FileError(
        fmt::format("{}: holds the new contents, but a power failure may still undo them: flushing its "
                    "directory failed: {}; check the disk and write again",
                    printable(path.string()), reason(flush_error)));
  }
}

void rename_file(const fs::path& from, const fs::path& to) {
  if (faulty("rename", [&] { return ::rename(from.c_str(), to.c_str()); }) < 0) {
    throw FileError(fmt::format("{}: cannot be renamed to {}: {}; check the directory's permissions",
                                printable(from.string()), printable(to.string()), reason(errno)));
  }
}

struct GrowingFile::Handle {
  Descriptor file;
};

GrowingFile::GrowingFile(const fs::path& path, std::uint64_t size) : path_(path), handle_(new Handle) {
  const auto fail = [&] {
    throw FileError(fmt::format("{}: cannot be written: {}; check its permissions and the free space",
                                printable(path_.string()), reason(errno)));
  };
  handle_->file.set(faulty("open", [&] {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0666);
  }));
  struct stat status {};
  if (handle_->file.number() < 0 || ::fstat(handle_->file.number(), &status) < 0) fail();
  size_ = std::min(size, static_cast<std::uint64_t>(status.st_size));
  const auto kept = static_cast<off_t>(size_);
  if (faulty("ftruncate", [&] { return ::ftruncate(handle_->file.number(), kept); }) < 0) fail();
}

GrowingFile::~GrowingFile() = default;

void GrowingFile::append(std::string_view text) {
  pending_ += text;
  write_pending();
}

void GrowingFile::write_pending() {
  std::string_view rest = pending_;
  const int result = write_all(handle_->file.number(), rest);
  const int error = errno;
  size_ += pending_.size() - rest.size();
  pending_.erase(0, pending_.size() - rest.size());
  if (result < 0) {
    throw FileError(fmt::format(
        "{}: cannot be written: {}; what is missing is kept and tried again: check the free space",
        printable(path_.string()), reason(error)));
  }
}

void GrowingFile::flush() {
  write_pending();
  if (flush_to_disk(handle_->file.number(), "fsync") < 0) {
    throw FileError(fmt::format("{}: cannot be flushed to disk: {}; check the disk",
                                printable(path_.string()), reason(errno)));
  }
}

DirectoryLock::DirectoryLock(const fs::path& directory) {
  Descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.number() < 0) {
    throw FileError(fmt::format("{}: cannot be opened: {}; name another directory",
                                printable(directory.string()), reason(errno)));
  }
  if (retry_interrupted([&] { return ::flock(opened.number(), LOCK_EX | LOCK_NB); }) < 0) {
    throw FileError(
        errno == EWOULDBLOCK
            ? fmt::format("{}: another handgrad is at work in it; wait for it, or choose another directory",
                          printable(directory.string()))
            : fmt::format("{}: cannot be locked: {}; choose a directory on another file system",
                          printable(directory.string()), reason(errno)));
  }
  descriptor_ = opened.release();
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void inject_file_faults(FileFault fault) {
  file_fault() = std::move(fault);
}

}  // namespace handgrad
