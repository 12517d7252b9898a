// core/store/layout.h — the state directory: its folders, its lock and its version.
//
//   version      the format's number
//   lock         flock(2), held while a runner uses the directory; holds its pid
//   layers/<id>/<form>
//   blobs/<first two digits>/<64 digits>
//   volumes/<64 digits>
//   work/        workspaces and half-made things; nothing in it survives a start
//   scratch/     files on their way in; emptied at every start
//   records.db   SQLite
//
// Everything that is published is made in work/ or scratch/ and then renamed. [thread-safe] once made.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "core/base/digest.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::store {

class Layout {
 public:
  static constexpr int version = 1;
  // Creates what is missing and takes the lock, for which it waits at most so long. Throws unavailable, unsupported,
  // permission_denied. [blocking]
  explicit Layout(const std::string& dir, std::chrono::milliseconds lock_wait = {});

  int fd() const noexcept { return dir_fd_.get(); }
  void sync() const;  // all of its file system [blocking]
  const std::string& dir() const noexcept { return dir_; }
  std::string layers() const { return dir_ + "/layers"; }
  std::string layer(std::uint64_t id) const { return layers() + "/" + std::to_string(id); }
  std::string work() const { return dir_ + "/work"; }
  std::string scratch() const { return dir_ + "/scratch"; }
  std::string blobs() const { return dir_ + "/blobs"; }
  std::string blob(const Digest& digest) const;
  std::string volume(const Digest& instance) const { return dir_ + "/volumes/" + instance.hex(); }
  std::string database() const { return dir_ + "/records.db"; }

 private:
  void take_lock(std::chrono::milliseconds wait);
  void check_version() const;
  std::string dir_;
  UniqueFd dir_fd_, lock_;
};

}  // namespace dagger::store
