// core/store/manifest.h — the description of a directory tree by which a session and a runner agree what is there.
// Pure.
//
// A tree is a Merkle DAG of directory nodes: exact digests include times, content digests do not. The session makes it
// by walking a host directory; the runner compares it node by node with what it has, and asks only for contents it
// lacks.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.h"

namespace dagger::store {

enum class EntryType : std::uint8_t { directory, file, symlink, fifo };

struct Entry {
  std::string name;  // one path component
  EntryType type = EntryType::file;
  std::uint32_t mode = 0;  // permission bits, setuid, setgid, sticky
  std::uint32_t uid = 0, gid = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t size = 0;  // file
  Digest content;          // file: SHA-256 of the bytes; directory: exact digest of its node
  std::string target;      // symlink
  std::vector<std::pair<std::string, std::string>> xattrs;
  bool operator==(const Entry&) const = default;
};

// One directory: entries sorted by name (bytewise), no duplicates, no "", ".", ".." or '/'.
struct Node {
  std::vector<Entry> entries;
};

std::string encode(const Node& node);
Node decode_node(std::string_view encoded);  // throws corrupt_data; enforces the rules above and limits
Digest exact_digest(const Node& node);       // SHA-256 of encode()

}  // namespace dagger::store
