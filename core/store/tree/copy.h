// core/store/tree/copy.h — copies a file or directory from one root into another.
//
// Keeps modes, owners, times, extended attributes, holes, links, and hard links among what is copied. Nothing is read
// or written outside the two roots. Errors: not_found "<path>: no such file or directory", invalid_argument "path X is
// a directory, not a file" (also: a file where a directory is, and the other way round), no_space, cancelled.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/store/tree/owner.h"
#include "dagger/plugin/plugin.h"

namespace dagger::store::tree {

struct CopyOptions {
  bool contents = true;                       // of a directory: what is in it goes into target; else it becomes target
  std::vector<std::string> include, exclude;  // relative to source
  Owner owner;                                // set: of everything that is copied
  std::int32_t mode = -1;                     // of files and directories that are copied; -1: keep
  bool must_be_file = false;
};

// source is followed if it is a link. A file goes to target, or into target if that is a directory. A directory's
// contents go into target, which keeps its attributes if it exists and else gets mode 0755; without `contents` the
// directory itself becomes target. What is missing above target is made (0755, owner as given, else 0:0). Directories
// are merged, other things replaced. A directory that no selected entry lies in is left out where include is given.
// [blocking]
void copy(int source_root, const std::string& source, int target_root, const std::string& target,
          const CopyOptions& options, plugin::CallContext& ctx);

}  // namespace dagger::store::tree
