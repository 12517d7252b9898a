// core/store/tree/path.h — finding the place a path names inside a root, all links of the path resolved in that root.
// [thread-safe] [blocking]
#pragma once
#include <sys/stat.h>

#include <optional>
#include <string>

#include "core/store/tree/owner.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::store::tree {

// A directory and a name in it. The name is "." where the path is the root or ends in a directory reached by a link.
struct Place {
  UniqueFd dir;  // O_PATH
  std::string name;
  std::optional<struct stat> st;  // of what is there; never of a link, unless it was not to be followed
};

enum class Last { follow, keep };  // a link in the last component
enum class Parents { must_exist, make };

// made_by: owner of parents that are made (mode 0755); 0:0 if it is not set. Throws not_found ("path: no such file or
// directory"), invalid_argument (a loop of links, a parent that is no directory).
Place find_place(int root, const std::string& path, Last last, Parents parents = Parents::must_exist,
                 const Owner& made_by = {});

// Makes what is missing of a directory path, each with this mode and owner, whatever the umask.
UniqueFd make_directories(int root, const std::string& path, unsigned mode, const Owner& owner);

// "path: no such file or directory", with the path as the caller gave it.
[[noreturn]] void throw_missing(const std::string& path);

}  // namespace dagger::store::tree
