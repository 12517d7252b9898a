// core/store/sweeper.h — working directories, and their removal in the background. [thread-safe]
//
// What the last runner left in work/ and scratch/ is moved aside at once and removed by the sweeper's thread, as are
// blobs that no record of the store knows. At the end what is queued stays for the next start. On a disk that is almost
// full nothing is left to the background: who needs room waits for it.
#pragma once
#include <atomic>
#include <string>

#include "core/base/digest.h"
#include "core/base/function.h"
#include "core/base/pool.h"

namespace dagger {
class Log;
}

namespace dagger::store {

class Layout;

class Sweeper {
 public:
  Sweeper(const Layout& layout, Log& log);  // layout and log outlive the sweeper
  ~Sweeper();
  // Begins to sweep blobs: called with the digest of each file, on the sweeper's thread.
  void start(Function<void(const Digest&)> remove_if_unknown);
  void remove(std::string path);
  // A new directory in work/, mode 0700, on the file system of the layers. [blocking]
  std::string make_work_dir();

 private:
  void set_aside(const std::string& name);
  void sweep_blobs(Function<void(const Digest&)>& remove_if_unknown);
  const Layout& layout_;
  Log& log_;
  std::atomic<std::uint64_t> next_{1};
  std::atomic<bool> stop_{false};
  Pool pool_;
};

// Before anything is written: removes what the last runner left, if the disk is almost full. [blocking]
void make_room(const Layout& layout);

// A working directory for the length of a scope.
class WorkDir {
 public:
  explicit WorkDir(Sweeper& sweeper) : sweeper_(sweeper), path_(sweeper.make_work_dir()) {}
  ~WorkDir() { sweeper_.remove(path_); }
  WorkDir(const WorkDir&) = delete;
  WorkDir& operator=(const WorkDir&) = delete;
  const std::string& path() const noexcept { return path_; }

 private:
  Sweeper& sweeper_;
  const std::string path_;
};

}  // namespace dagger::store
