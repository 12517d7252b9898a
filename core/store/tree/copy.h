// core/store/tree/copy.h — copying between trees. Both are reached through the fd of a root directory; nothing outside
// of the roots is read or written, whatever links the trees hold. [thread-safe] [blocking]
#pragma once
#include <optional>
#include <string>

#include "core/dag/patterns.h"
#include "core/store/tree/owner.h"
#include "dagger/plugin/plugin.h"

namespace dagger::store::tree {

struct CopyOptions {
  bool contents = true;        // a directory's entries go into target, which is made with mode 0755 if it is missing;
                               // else the directory itself becomes target
  dag::Patterns patterns;      // on paths relative to the copied directory
  std::optional<Owner> owner;  // of all that is copied or made; else as in the source
  std::int32_t mode = -1;      // of all that is copied; -1: as in the source
  bool must_be_file = false;
};

// Keeps modes, owners, times, extended attributes, holes, and hard links inside the copy. Directories are merged, other
// things replaced. A file onto an existing directory goes into it. Links in the given paths are followed, inside their
// root. Throws not_found ("path: no such file or directory"), invalid_argument ("path X is a directory, not a file", a
// file where a directory should go, or the other way round), no_space, cancelled.
void copy(int source_root, const std::string& source, int target_root, const std::string& target,
          const CopyOptions& options, plugin::CallContext& ctx);

// The bytes of one regular file to the end of another, holes kept. Both must be seekable.
void copy_bytes(int from, int to, std::uint64_t size, bool with_holes, plugin::CallContext& ctx);

}  // namespace dagger::store::tree
