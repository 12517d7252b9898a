// core/plugin/file_checks.h — may code of this file run with our rights? Errors have no file name in front of them
// where they speak of the file itself ("is writable by others"): the caller adds it. [thread-safe]
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/error.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::plugin {

// Every reason not to trust an open file (canonical path): its type, owner and permissions, and those of every
// directory above it.
std::vector<Error> distrust(int fd, const std::string& file);

// Opens file (canonical path) if it is a regular file that only root or this process's user can change: owner,
// permissions, and those of every directory above it. Throws not_found, invalid_argument, permission_denied.
UniqueFd open_trusted(const std::string& file);

// The file alone: a regular one that only root or this process's user can change.
void check_trusted_file(int fd, const std::string& file);

// The canonical path. Throws not_found.
std::string canonical_path(const std::string& file);

// expected: 64 hex digits. Throws corrupt_data.
void check_sha256(int fd, const std::string& expected);

}  // namespace dagger::plugin
