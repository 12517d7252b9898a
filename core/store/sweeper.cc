#include "core/store/sweeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <future>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/store/layout.h"
#include "core/store/tree/dir.h"

namespace dagger::store {
namespace {
constexpr const char* aside = "old-";
constexpr std::uint64_t little_room = 64 << 20;

bool almost_full(const Layout& layout) {
  struct statvfs s{};
  return ::fstatvfs(layout.fd(), &s) == 0 && s.f_bavail * s.f_frsize < little_room;
}

}  // namespace

void make_room(const Layout& layout) {
  if (!almost_full(layout)) return;
  const auto dir = open_file(layout.dir(), O_RDONLY | O_DIRECTORY);
  for (const auto& name : sorted_names(dir.get())) {
    const bool part = name == "work" || name == "scratch";
    if (!part && !name.starts_with(aside)) continue;
    remove_tree(layout.dir() + "/" + name);
    if (part) make_dirs(layout.dir() + "/" + name, 0700);
  }
}

Sweeper::Sweeper(const Layout& layout, Log& log) : layout_(layout), log_(log), pool_("sweep", 1) {
  const auto dir = open_file(layout.dir(), O_RDONLY | O_DIRECTORY);
  for (const auto& name : sorted_names(dir.get()))
    if (name.starts_with(aside)) remove(layout.dir() + "/" + name);
  set_aside("work");
  set_aside("scratch");
}

Sweeper::~Sweeper() { stop_ = true; }

void Sweeper::set_aside(const std::string& name) {
  const std::string path = layout_.dir() + "/" + name;
  {
    const auto dir = open_file(path, O_RDONLY | O_DIRECTORY);
    if (sorted_names(dir.get()).empty()) return;
  }
  std::string old;
  do old = layout_.dir() + "/" + aside + std::to_string(next_++);
  while (exists(old));
  if (::rename(path.c_str(), old.c_str()) != 0) throw_errno("rename " + path);
  make_dirs(path, 0700);
  remove(old);
}

void Sweeper::start(Function<void(const Digest&)> remove_if_unknown) {
  pool_.submit([this, f = std::move(remove_if_unknown)]() mutable {
    try {
      sweep_blobs(f);
    } catch (const Error& e) {
      log_.warn(std::string("sweeping blobs: ") + e.what());
    }
  });
}

void Sweeper::sweep_blobs(Function<void(const Digest&)>& remove_if_unknown) {
  const auto all = open_file(layout_.blobs(), O_RDONLY | O_DIRECTORY);
  for (const auto& part : sorted_names(all.get())) {
    const auto dir = open_dir_at(all.get(), part);
    for (const auto& name : sorted_names(dir.get())) {
      if (stop_) return;
      if (name.size() == 64) remove_if_unknown(Digest::parse("sha256:" + name));
    }
  }
}

void Sweeper::remove(std::string path) {
  pool_.submit([this, path = std::move(path)] {
    if (stop_) return;
    try {
      remove_tree(path);
    } catch (const Error& e) {
      log_.warn(std::string("removing what is left over: ") + e.what());
    }
  });
}

std::string Sweeper::make_work_dir() {
  if (almost_full(layout_)) {
    std::promise<void> swept;
    pool_.submit([&swept] { swept.set_value(); });
    swept.get_future().wait();
  }
  std::string path = layout_.work() + "/" + std::to_string(next_++);
  if (::mkdir(path.c_str(), 0700) != 0) throw_errno("make directory " + path);
  return path;
}

}  // namespace dagger::store
