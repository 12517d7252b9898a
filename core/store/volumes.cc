#include "core/store/volumes.h"

#include <fcntl.h>
#include <stdio.h>

#include "core/base/fs.h"
#include "core/store/layout.h"
#include "core/store/sweeper.h"

namespace dagger::store {

// The right to make one instance.
class Volumes::Turn {
 public:
  Turn(Volumes& volumes, const Digest& instance) : volumes_(volumes), instance_(instance) {
    std::unique_lock lock(volumes_.mutex_);
    volumes_.made_.wait(lock, [&] { return !volumes_.making_.contains(instance_); });
    volumes_.making_.insert(instance_);
  }
  ~Turn() {
    {
      const std::lock_guard lock(volumes_.mutex_);
      volumes_.making_.erase(instance_);
    }
    volumes_.made_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Volumes& volumes_;
  const Digest& instance_;
};

Store::Volume Volumes::get(const Digest& instance, Function<void(int root_fd)> fill) {
  const std::string path = layout_.volume(instance);
  const Turn turn(*this, instance);
  if (exists(path)) return {path, false};
  const WorkDir work(sweeper_);
  const std::string made = work.path() + "/volume";
  make_dirs(made, 0755);
  if (fill) fill(open_file(made, O_RDONLY | O_DIRECTORY).get());
  if (::rename(made.c_str(), path.c_str()) != 0) throw_errno("rename " + made + " to " + path);
  return {path, true};
}

}  // namespace dagger::store
