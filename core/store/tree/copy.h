// core/store/tree/copy.h — copies a file or directory from one root into another.
//
// Keeps modes, owners, mtimes, extended attributes, links, and hard links among what is copied. Nothing is read or
// written outside the two roots.
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

// source is followed if it is a link. A file goes to target, or into target if that is a directory. Directories that
// are missing above target are made (0755, 0:0); a target directory that exists keeps its attributes. A directory that
// no selected entry lies in is left out where include is given. [blocking]
void copy(int source_root, const std::string& source, int target_root, const std::string& target,
          const CopyOptions& options, plugin::CallContext& ctx);

}  // namespace dagger::store::tree
