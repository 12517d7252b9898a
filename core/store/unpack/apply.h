// core/store/unpack/apply.h — puts tar entries into a layer directory.
//
// Every parent is resolved with the directory as root, so a link in the layer cannot lead out of it. A whiteout hides
// what lower layers have, never what the same layer brings, whichever comes first. Directories whose look depends on
// lower layers are marked (loose.h). Errors name the entry. One thread.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/store/unpack/loose.h"
#include "core/store/unpack/tar_reader.h"
#include "core/store/unpack/unpack.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::store {

class Apply {
 public:
  Apply(int root, std::string mark_prefix, std::uint64_t max_entries);
  void entry(const TarEntry& entry, TarReader& reader);
  // Does what has to wait until everything is there: marks and times of directories.
  void finish(Unpacked& result);

 private:
  void place(const TarEntry& entry, TarReader& reader);
  int parent(const std::string& path);
  std::string real_parent() const;
  UniqueFd make_parents(const std::string& path);
  void make_implied(int dir, const std::string& up, const std::string& name, bool whiteout);
  void count(std::uint64_t bytes);
  void make_free(const std::string& name);
  void forget_parent();
  void settle();
  void drop_whiteouts(const std::string& path);
  UniqueFd find_directory(const std::string& path) const;
  void drop_bookkeeping();

  void whiteout(const std::string& name);
  void opaque_parent();
  void set_opaque(int dir, const std::string& name);
  void root_attributes(const TarEntry& entry);
  void directory(const std::string& path, const std::string& name, const TarEntry& entry);
  void file(const std::string& name, const TarEntry& entry, TarReader& reader);
  void hard_link(const std::string& name, const TarEntry& entry);
  void symlink(const std::string& name, const TarEntry& entry);
  void node(const std::string& name, const TarEntry& entry);
  void attributes(const std::string& name, const TarEntry& entry);

  const int root_;
  const std::string mark_prefix_;
  const std::uint64_t max_entries_;
  std::string parent_path_;  // of parent_
  UniqueFd parent_;
  std::vector<std::pair<std::string, std::int64_t>> directory_times_;
  std::uint64_t entries_ = 0, bytes_ = 0;
  struct Unsettled {
    bool implied = false, whiteouts = false, opaque = false;
  };
  std::map<std::string, Unsettled> unsettled_;  // directories, by their path without links
  bool opaque_root_ = false, implied_root_ = true, bookkeeping_ = false;
};

}  // namespace dagger::store
