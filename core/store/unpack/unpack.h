// core/store/unpack/unpack.h — an OCI layer tar becomes a layer directory with overlay's marks.
//
// The tar is hostile: nothing is written outside the directory, parents are resolved inside it, whiteouts become
// overlay whiteouts and opaque marks, what could be mistaken for such a mark is refused. Errors: corrupt_data
// (malformed, truncated, a digest differs, a limit is passed: all named), no_space, cancelled, and whatever the stream
// throws. [blocking]
#pragma once
#include <cstdint>
#include <string>

#include "dagger/plugin/plugin.h"

namespace dagger::store {

struct UnpackLimits {
  std::uint64_t entries = 8'000'000;
  std::uint64_t bytes = 0;                           // of the uncompressed tar; 0: as many as the disk takes
  std::uint64_t unpacked = std::uint64_t{64} << 30;  // above, only what gzip could pack as well: data, and no bomb
};

struct UnpackRequest {
  std::string blob_digest;  // "sha256:..." of the bytes as they come; not checked if empty
  std::string diff_id;      // of the uncompressed tar; not checked if empty
  std::string mark_prefix;  // "trusted.overlay." or "user.overlay."
  UnpackLimits limits;
};

struct Unpacked {
  std::string diff_id;
  std::uint64_t bytes = 0, entries = 0;  // as accounted on disk
  bool opaque_root = false;              // hides everything below this layer
};

// root: an empty directory. What is in it after an error is undefined.
Unpacked unpack(plugin::ByteStream& tar, int root, const UnpackRequest& request, plugin::CallContext& ctx);

}  // namespace dagger::store
