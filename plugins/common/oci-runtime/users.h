// plugins/common/oci-runtime/users.h — who an exec runs as, by the root filesystem's own /etc/passwd and /etc/group.
//
// Both files are content from outside: opened beneath the root only, bounded in size, bad lines skipped. [thread-safe]
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dagger::oci {

struct User {
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> groups;  // supplementary, the primary one among them
  std::string home = "/";
};

// spec: "", "name", "uid", "user:group" with names or numbers on either side. Without a group: the user's own, and the
// supplementary groups that list the user; with one: only that. A number needs no entry. Throws invalid_argument.
User resolve_user(int root_fd, std::string_view spec);

// The same on the files' texts. Pure.
User resolve_user(std::string_view passwd, std::string_view group, std::string_view spec);

}  // namespace dagger::oci
