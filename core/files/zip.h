// Zip archives as torch.save writes them, read: stored files only, nothing is unpacked. Free of LibTorch.
// PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3, describes the format.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace handgrad {

class ZipArchive {
 public:
  // Reads the central directory; `file` must outlive the archive. `name` is what messages call it.
  // Throws ModelError where that is damaged, names a file twice, or its files are more bytes than the
  // archive.
  ZipArchive(std::string_view file, std::string name);

  // Names are without the first directory, which torch.save calls after its file.
  bool has(const std::string& record) const { return entries_.count(record) > 0; }

  // The bytes of a file, a view. Throws ModelError where there is none, or it is compressed or damaged.
  std::string_view read(const std::string& record) const;

 private:
  struct Entry {
    std::uint64_t place = 0;  // of its local header
    std::uint64_t size = 0;
    std::uint32_t checksum = 0;
    bool stored = false;
  };

  std::string_view file_;
  std::string name_;
  std::map<std::string, Entry> entries_;
};

}  // namespace handgrad
