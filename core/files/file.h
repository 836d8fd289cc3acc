// Whole files in and out. Every file that is written at once goes through write_file.
// Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace handgrad {

using Bytes = std::vector<std::uint8_t>;

// The same bytes as characters; they stay where they are.
inline std::string_view as_text(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The most bytes that are read, before and after unpacking: 4 GiB.
constexpr std::uint64_t largest_file = std::uint64_t{1} << 32;

// The contents of a file, unpacked if they are gzip (RFC 1952), whatever the name says.
// Throws FileError when the file cannot be read or is a device, pipe or socket, DataError when the gzip
// stream is damaged or cut short or the contents are larger than `largest_file`.
Bytes read_file(const std::filesystem::path& path);

// The same for a stream, such as standard input; `name` is what messages call it, `head` what was read of it
// before.
Bytes read_stream(std::istream& stream, const std::string& name, std::string_view head = {});

// The unpacking by itself: the contents of a gzip stream, or `bytes` unchanged when they are not gzip.
// Throws DataError when the stream is damaged or cut short or unpacks to more than `limit` bytes.
Bytes unpack(Bytes bytes, const std::string& name, std::uint64_t limit = largest_file);

// Replaces `path` in one step: a reader sees the old contents or the new, never a part. Follows a symbolic
// link and keeps the permissions of a file that exists. Does not replace what is not a regular file. Throws
// FileError when anything fails. The old contents are then still there, unless the message says that only
// their replacement could not be made durable. `check`, where there is one, gets the name of the complete new
// file before it takes its place; where it throws, the old contents stay and the new ones go.
using FileCheck = std::function<void(const std::filesystem::path&)>;
void write_file(const std::filesystem::path& path, std::string_view contents, const FileCheck& check = {});

// Gives a file another name, in place of any file of that name. Throws FileError.
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

// A file that grows at its end, such as a log. What cannot be written at once is kept, and tried again with
// what comes next: a full disk loses nothing as long as the program lives.
class GrowingFile {
 public:
  // Opens a file, or makes it, and cuts off what lies behind its first `size` bytes. Throws FileError.
  GrowingFile(const std::filesystem::path& path, std::uint64_t size);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  // Adds to what is to be written, and writes what can be. Throws FileError where not all could; nothing is
  // lost.
  void append(std::string_view text);

  // Writes all there is and has it on disk. Throws FileError.
  void flush();

  // Bytes of the file once all is written.
  std::uint64_t size() const { return size_ + pending_.size(); }

 private:
  struct Handle;  // keeps the system's headers out of this one

  void write_pending();

  std::filesystem::path path_;
  std::unique_ptr<Handle> handle_;
  std::uint64_t size_ = 0;  // written
  std::string pending_;
};

// Holds a directory for one process: the lock ends with the process, however that ends.
class DirectoryLock {
 public:
  // Throws FileError where another holds it, or the directory cannot be opened.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&&) = delete;

 private:
  int descriptor_ = -1;
};

// For tests: asked before every system call that changes a file ("open", "fchmod", "write", "fsync", "close",
// "rename", "fsync directory", "ftruncate"). 0 lets it be; another number fails it with this errno;
// short_write, for "write", has it write one byte only. An empty function ends that.
constexpr int short_write = -1;
using FileFault = std::function<int(std::string_view call)>;
void inject_file_faults(FileFault fault);

}  // namespace handgrad
