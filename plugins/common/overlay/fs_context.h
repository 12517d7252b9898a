// plugins/common/overlay/fs_context.h — the mount API of Linux 5.2: a file system in the making, and a mount of it that
// is in no mount namespace. [thread-safe] [blocking]
#pragma once
#include <string>

#include "dagger/plugin/unique_fd.h"

namespace dagger::overlay {

class FsContext {
 public:
  // Throws unsupported (the kernel has no such file system), permission_denied.
  explicit FsContext(const char* type);

  // value null: a flag. Throws what the kernel said.
  void set(const char* key, const char* value = nullptr);
  // A path of any length, with any characters.
  void set_path(const char* key, const std::string& path);
  // Whether the kernel takes the option.
  bool takes(const char* key, const char* value);
  // Makes the file system and a detached mount of it; attributes: MOUNT_ATTR_*. Call at most once.
  UniqueFd mount(unsigned attributes);

 private:
  std::string message() const;
  std::string type_;
  UniqueFd fs_;
};

// An empty read-only directory, as a detached mount.
UniqueFd mount_nothing();

}  // namespace dagger::overlay
