#include "core/store/layout.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <thread>

#include "core/base/fs.h"

namespace dagger::store {

namespace {
constexpr std::chrono::milliseconds lock_pause(10);
}

Layout::Layout(const std::string& dir, std::chrono::milliseconds lock_wait) : dir_(clean_path(dir)) {
  make_dirs(parent_path(dir_), 0755);
  make_dirs(dir_, 0700);
  dir_fd_ = open_file(dir_, O_RDONLY | O_DIRECTORY);
  take_lock(lock_wait);
  check_version();
  for (const char* name : {"layers", "blobs", "volumes", "work", "scratch"}) make_dirs(dir_ + "/" + name, 0700);
}

void Layout::take_lock(std::chrono::milliseconds wait) {
  const std::string path = dir_ + "/lock";
  lock_ = open_file(path, O_RDWR | O_CREAT, 0600);
  const auto deadline = std::chrono::steady_clock::now() + wait;
  while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw_errno("lock " + path);
    if (std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(lock_pause);
      continue;
    }
    std::string pid = read_all(lock_.get(), 64);
    while (!pid.empty() && pid.back() == '\n') pid.pop_back();
    throw Error(Code::unavailable, "state directory " + dir_ + " is in use by another runner" +
                                       (pid.empty() ? "" : " (pid " + pid + ")") +
                                       ": stop it, or choose another state directory");
  }
  if (::ftruncate(lock_.get(), 0) != 0) throw_errno("write " + path);
  write_all(lock_.get(), std::to_string(::getpid()) + "\n");
}

void Layout::check_version() const {
  const std::string path = dir_ + "/version";
  if (!exists(path)) {
    write_file_atomically(path, std::to_string(version) + "\n");
    return;
  }
  const std::string text = read_file(path, 64);
  int found = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), found);
  if (error != std::errc() || found < 1)
    throw Error(Code::corrupt_data, path + " holds no version number: is " + dir_ + " a state directory?");
  if (found > version)
    throw Error(Code::unsupported, "state directory " + dir_ + " was made by a newer version (format " +
                                       std::to_string(found) + ", this one knows " + std::to_string(version) +
                                       "): use that version, or choose another state directory");
}

void Layout::sync() const {
  if (::syncfs(dir_fd_.get()) != 0) throw_errno("sync state directory " + dir_);
}

std::string Layout::blob(const Digest& digest) const {
  const std::string hex = digest.hex();
  return blobs() + "/" + hex.substr(0, 2) + "/" + hex;
}

}  // namespace dagger::store
