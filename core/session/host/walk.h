// core/session/host/walk.h — reads a directory of the client's machine into a tree manifest, on several pool threads.
//
// Never follows a link below the top, never leaves the top. Owners become 0:0; modes, times and link targets are kept;
// sockets and devices are left out and counted. Errors: not_found, permission_denied, ...: the system's text and the
// path within the directory.
#pragma once
#include <sys/types.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/pool.h"
#include "core/base/task.h"
#include "core/dag/patterns.h"
#include "core/store/manifest.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::session {

// What a walk found: enough to answer a runner that asks for nodes and contents.
class HostTree {
 public:
  struct Source {
    std::string path;  // below top
    std::uint64_t size = 0;
  };
  // One of the places that hold a content. [thread-safe]: the index is made by the first who asks, since most often
  // nobody does.
  std::optional<Source> file(const Digest& content) const;

  UniqueFd top;                                   // O_PATH
  Digest root;                                    // exact
  std::unordered_map<Digest, std::string> nodes;  // encoded
  struct File {
    Digest content;
    std::uint64_t size = 0;
    std::shared_ptr<const std::string> directory;
    std::string name;
  };
  std::vector<std::vector<File>> files;  // in no order; of each thread of the walk
  // Sockets and devices, which no tree can hold.
  struct LeftOut {
    std::uint64_t count = 0;
    std::string first;  // bytewise, of their paths below top
    mode_t mode = 0;    // its type
    void add(const LeftOut& other);
  } left_out;

 private:
  mutable std::once_flag indexed_;
  mutable std::unordered_map<Digest, const File*> index_;
};

// path: absolute; may be a link itself. threads: how many of the pool's to use.
Task<std::shared_ptr<const HostTree>> walk(Loop& loop, Pool& pool, unsigned threads, std::string path,
                                           std::shared_ptr<const dag::Patterns> patterns, CancelToken cancel);

// Opens a file that a walk found, for reading; never follows links.
UniqueFd open_beneath(int top, const std::string& path, int flags);

}  // namespace dagger::session
