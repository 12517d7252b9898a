// core/store/tree/owner.h — "user:group" as numbers, looked up in the /etc/passwd and /etc/group of a root directory.
#pragma once
#include <cstdint>
#include <string>

namespace dagger::store::tree {

struct Owner {
  bool set = false;  // false: keep what is there
  std::uint32_t uid = 0, gid = 0;
};

// "", "user", "uid", "user:group", "uid:gid" or mixed; "" is not set. Without a group the gid is the uid's number.
// Throws not_found "find uid: no such user: X", "find gid: no such group: X". [blocking]
Owner find_owner(int root_fd, const std::string& spec);

}  // namespace dagger::store::tree
