// tests/support/second/remote_machine.h — files in memory that come from layer tars and go back as one. One thread at a
// time.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dagger/plugin/plugin.h"

namespace dagger::testing {

class RemoteTree {
 public:
  // Puts a layer on top: files, directories (only as parents) and AUFS whiteouts count.
  void apply_tar(plugin::ByteStream& stream);
  std::string changes_tar() const;  // what differs since the last apply_tar()
  bool changed() const noexcept { return !changes_.empty(); }

  std::optional<std::string> read(const std::string& path) const;  // absolute, clean
  void write(const std::string& path, std::string content);
  bool remove(const std::string& path);

 private:
  std::map<std::string, std::string> files_;
  std::set<std::string> changes_;  // paths written or removed
};

}  // namespace dagger::testing
