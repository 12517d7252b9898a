// plugins/common/overlay/walk.h — goes through a tree that nobody else changes meanwhile.
//
// Follows no links. One directory is open at a time and the stack does not grow, at any depth. [blocking]
#pragma once
#include <sys/stat.h>

#include <string>

#include "dagger/plugin/plugin.h"

namespace dagger::overlay {

// dir is an fd of the directory that is being read. Objects may be removed from it, and made.
class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void enter(int dir) { (void)dir; }  // before its first entry
  // Whether to go into it, if it is a directory.
  virtual bool entry(int dir, const char* name, const struct stat& st) = 0;
  virtual void listed(int dir) { (void)dir; }  // after its last entry, before the directories in it
  virtual void leave() {}                      // after the directories in it
};

// Throws cancelled, and what the visitor throws.
void walk(const std::string& directory, Visitor& visitor, plugin::CallContext& ctx);

}  // namespace dagger::overlay
