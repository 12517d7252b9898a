// tests/support/second/tree_copy.h — applying overlay layer directories to a plain directory, and finding out what
// changed in it.
//
// Paths are trusted (layers of the store, a workspace); nothing here follows a link. One thread.
#pragma once
#include <sys/stat.h>

#include <map>
#include <string>

#include "dagger/plugin/plugin.h"
#include "dagger/plugin/snapshotter.h"

namespace dagger::testing {

struct LayerMarks {
  const char* form;
  const char* opaque;        // xattr of a directory that hides what is below
  const char* xattr_prefix;  // of marks, which are no content
};
LayerMarks layer_marks();  // those that this process may write

// Puts one layer directory on top of root.
void apply_layer(const std::string& layer, const std::string& root, const LayerMarks& marks, plugin::CallContext& ctx);

// What lstat says of every entry below root, by path relative to it ("a/b").
using TreeState = std::map<std::string, struct stat>;
TreeState record_tree(const std::string& root);

// Returns when a later change of a file is certain to have another ctime than one until now.
void pass_timestamp_tick();

// Moves what differs from before out of root into the new layer directory at path; root is not usable afterwards.
plugin::SealedLayer extract_changes(const std::string& root, const TreeState& before, const std::string& path,
                                    const LayerMarks& marks, plugin::CallContext& ctx);

}  // namespace dagger::testing
