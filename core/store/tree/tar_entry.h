// core/store/tree/tar_entry.h — one entry of a tar, as values.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dagger::store {

enum class TarType : std::uint8_t { file, hard_link, symlink, char_device, block_device, directory, fifo };

struct TarSegment {
  std::uint64_t offset = 0, size = 0;
};

struct TarEntry {
  std::string name;  // as written; no NUL
  std::string link;  // hard link, symlink
  TarType type = TarType::file;
  std::uint32_t mode = 0;  // permission bits, setuid, setgid, sticky
  std::uint32_t uid = 0, gid = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t size = 0;  // of the file, holes included
  std::uint32_t major = 0, minor = 0;
  bool sparse = false;
  std::vector<TarSegment> segments;  // sparse: where the stored bytes belong, ascending, not overlapping
  std::vector<std::pair<std::string, std::string>> xattrs;
};

}  // namespace dagger::store
