// core/store/tree/owner.h — "user:group" texts resolved in a root filesystem. [thread-safe] [blocking]
#pragma once
#include <cstdint>
#include <string>

namespace dagger::store::tree {

struct Owner {
  std::uint32_t uid = 0, gid = 0;
  bool operator==(const Owner&) const = default;
};

// "", "user", "uid", "user:group", "uid:gid", mixed. Names are looked up in /etc/passwd and /etc/group of root; without
// a group, gid is the number of the uid. Throws invalid_argument: "find uid: no such user: X", "find gid: no such
// group: X".
Owner find_owner(int root, const std::string& text);

}  // namespace dagger::store::tree
