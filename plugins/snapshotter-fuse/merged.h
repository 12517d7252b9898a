// plugins/snapshotter-fuse/merged.h — what stacked layers show at a path, told from their directories alone.
#pragma once
#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "dagger/plugin/unique_fd.h"

namespace dagger::fuse {

inline constexpr const char* opaque_mark = "trusted.overlay.opaque";

bool is_whiteout(const struct stat& st);
bool is_opaque(int directory);

// Directories of the form overlay-trusted. They are opened for the first question. One thread at a time. [blocking]
class Merged {
 public:
  explicit Merged(std::vector<std::string> directories) : paths_(std::move(directories)) {}  // topmost first

  struct Shown {
    std::size_t layer = 0;  // the topmost that has it
    struct stat st{};
  };
  // path: "/a/b". Follows no links: below one there is nothing.
  std::optional<Shown> find(const std::string& path);
  int directory(std::size_t layer) const { return directories_.at(layer).get(); }
  const std::string& path(std::size_t layer) const { return paths_.at(layer); }
  std::size_t size() const noexcept { return paths_.size(); }

 private:
  bool any_has(const std::string& path);
  const std::vector<std::string> paths_;
  std::vector<UniqueFd> directories_;
};

// Where an fd of a directory in the tree at top is: "" or "/a/b".
class Place {
 public:
  explicit Place(const std::string& top);
  std::string of(int dir) const;

 private:
  std::size_t top_;
};

}  // namespace dagger::fuse
