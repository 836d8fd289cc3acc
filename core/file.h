// Whole files in and out. Every file that is written at once goes through write_file.
// Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace handgrad {

using Bytes = std::vector<std::uint8_t>;

// The most bytes that are read, before and after unpacking: 4 GiB.
constexpr std::uint64_t largest_file = std::uint64_t{1} << 32;

// The contents of a file, unpacked if they are gzip (RFC 1952), whatever the name says.
// Throws FileError when the file cannot be read, DataError when the gzip stream is damaged or cut short or
// the contents are larger than `largest_file`.
Bytes read_file(const std::filesystem::path& path);

// The same for a stream, such as standard input; `name` is what messages call it.
Bytes read_stream(std::istream& stream, const std::string& name);

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

// `name` as messages show it: on one line, whatever bytes a file name holds.
std::string printable(std::string_view name);

}  // namespace handgrad
