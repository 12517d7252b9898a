#include "core/session/host/export.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "core/base/fs.h"
#include "core/session/host/paths.h"
#include "core/store/tree/dir.h"
#include "core/store/unpack/tar_reader.h"

namespace dagger::session {
namespace {

using store::TarType;

constexpr unsigned target_directory_mode = 0700;

// A tar that comes in a Stream.
class Tar {
 public:
  explicit Tar(link::Stream& in) : reader_([this, &in](std::size_t max) { return piece(in, max); }) {}

  bool next() { return reader_.next(entry); }
  void copy_data(int fd) {
    for (auto data = reader_.data(); !data.empty(); data = reader_.data()) write_all(fd, data);
  }
  store::TarEntry entry;  // the last one

 private:
  std::string_view piece(link::Stream& in, std::size_t max) {
    if (at_ == held_.size()) {
      held_ = in.read();
      at_ = 0;
    }
    const auto piece = std::string_view(held_).substr(at_, max);
    at_ += piece.size();
    return piece;
  }
  std::string held_;
  std::size_t at_ = 0;
  store::TarReader reader_;
};

std::string safe_path(const std::string& raw) {
  const std::string_view name = raw;
  for (std::size_t at = 0; at <= name.size();) {
    const auto slash = std::min(name.find('/', at), name.size());
    if (name.substr(at, slash - at) == "..")
      throw Error(Code::corrupt_data, "the exported archive has an entry that leaves it: \"" + raw + "\"");
    at = slash + 1;
  }
  return clean_path(name);
}

struct Times {
  timespec values[2];
};
Times times_of(const store::TarEntry& entry) {
  const auto modified = store::to_timespec(entry.mtime_ns);
  return {{modified, modified}};
}

// What may be replaced by a file or link: the rest is somebody's device, or a place where a process listens.
void check_replaceable(const std::string& path, mode_t mode) {
  if (S_ISREG(mode) || S_ISLNK(mode)) return;
  throw Error(Code::invalid_argument,
              "destination \"" + path + "\" is " + type_name(mode) +
                  (S_ISDIR(mode) ? ", and the export has a file of that name" : "; export writes regular files only"));
}

// Lays entries over one directory. A directory's mode and times are set at the end: they must not be in the way before.
class Unpacker {
 public:
  explicit Unpacker(const std::string& target) : target_(target) {
    make_dirs(target, target_directory_mode);
    struct stat st{};
    if (::stat(target.c_str(), &st) == 0 && !S_ISDIR(st.st_mode))
      throw Error(Code::invalid_argument, "destination \"" + target + "\" is " + type_name(st.st_mode) +
                                              "; a directory is exported into a directory only");
    root_ = open_file(target, O_PATH | O_DIRECTORY);
  }

  void add(Tar& tar) {
    const auto& entry = tar.entry;
    const auto path = safe_path(entry.name);
    if (entry.type == TarType::directory) return add_directory(path, entry);
    if (path == "/") throw Error(Code::corrupt_data, "the exported archive replaces its own root");
    if (!is_made(entry.type)) return;
    const int parent = open_parent(parent_path(path));
    const auto name = base_name(path);
    if (const auto there = store::try_stat_at(parent, name)) {
      if (entry.type == TarType::fifo && S_ISFIFO(there->st_mode)) return;
      check_replaceable(target_ + path, there->st_mode);
      if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) throw_errno("replace " + target_ + path);
    }
    switch (entry.type) {
      case TarType::hard_link:
        return add_hard_link(parent, name, entry.link);
      case TarType::symlink:
        return add_link(parent, name, entry);
      case TarType::fifo:
        if (::mkfifoat(parent, name.c_str(), entry.mode & 0777) != 0) throw_errno("make fifo " + target_ + path);
        return;
      default:
        return add_file(parent, name, tar);
    }
  }

  void finish() {
    for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) {
      const auto fd = open_in_root_nofollow(root_.get(), at->path, O_RDONLY | O_DIRECTORY);
      if (::fchmod(fd.get(), at->mode) != 0 || ::futimens(fd.get(), at->times.values) != 0)
        throw_errno("set mode and times of " + target_ + at->path);
    }
  }

 private:
  struct NewDirectory {
    std::string path;
    mode_t mode;
    Times times;
  };

  static bool is_made(TarType type) {
    return type == TarType::file || type == TarType::hard_link || type == TarType::symlink || type == TarType::fifo;
  }

  // Entries of one directory follow each other.
  int open_parent(std::string path) {
    if (!parent_ || parent_path_ != path) {
      parent_ = make_dirs_in_root(root_.get(), path);
      parent_path_ = std::move(path);
    }
    return parent_.get();
  }
  void add_directory(const std::string& path, const store::TarEntry& entry) {
    if (path == "/") return;
    if (::mkdirat(open_parent(parent_path(path)), base_name(path).c_str(), target_directory_mode) == 0)
      directories_.push_back({path, entry.mode & 07777, times_of(entry)});
    else if (errno != EEXIST)
      throw_errno("make directory " + target_ + path);
    else
      check_directory(path);
  }
  void check_directory(const std::string& path) {
    const auto mode = store::stat_at(parent_.get(), base_name(path)).st_mode;
    if (S_ISDIR(mode)) return;
    const auto destination = "destination \"" + target_ + path + "\" is " + type_name(mode);
    if (!S_ISLNK(mode))
      throw Error(Code::invalid_argument, destination + ", and the export has a directory of that name");
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    const UniqueFd inside(static_cast<int>(::syscall(SYS_openat2, root_.get(), path.c_str() + 1, &how, sizeof how)));
    if (!inside)
      throw Error(Code::invalid_argument, destination + " that leads out of \"" + target_ +
                                              "\" or to no directory, and the export has a directory of that name");
  }
  void add_file(int parent, const std::string& name, Tar& tar) {
    if (tar.entry.sparse) throw Error(Code::corrupt_data, "the exported archive has a sparse file: \"" + name + "\"");
    const auto fd = open_at(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    tar.copy_data(fd.get());
    if (::fchmod(fd.get(), tar.entry.mode & 07777) != 0 || ::futimens(fd.get(), times_of(tar.entry).values) != 0)
      throw_errno("finish " + target_ + "/.../" + name);
  }
  void add_link(int parent, const std::string& name, const store::TarEntry& entry) {
    if (::symlinkat(entry.link.c_str(), parent, name.c_str()) != 0)
      throw_errno("make link " + target_ + "/.../" + name);
    if (::utimensat(parent, name.c_str(), times_of(entry).values, AT_SYMLINK_NOFOLLOW) != 0)
      throw_errno("set times of link " + target_ + "/.../" + name);
  }
  void add_hard_link(int parent, const std::string& name, const std::string& other) {
    const auto path = safe_path(other);
    const auto source = open_in_root(root_.get(), parent_path(path), O_PATH | O_DIRECTORY);
    if (::linkat(source.get(), base_name(path).c_str(), parent, name.c_str(), 0) != 0)
      throw_errno("link " + target_ + "/.../" + name + " to " + path);
  }

  std::string target_;
  UniqueFd root_;
  UniqueFd parent_;
  std::string parent_path_;
  std::vector<NewDirectory> directories_;
};

// path, or the file that the link there leads to.
std::string real_target(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno != ENOENT) throw_errno("destination \"" + path + "\"");
    return path;
  }
  check_replaceable(path, st.st_mode);
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  if (!real) throw_errno("destination \"" + path + "\"");
  return real.get();
}

}  // namespace

void unpack_directory(link::Stream& in, const std::string& target) {
  Tar tar(in);
  Unpacker unpacker(target);
  while (tar.next()) unpacker.add(tar);
  unpacker.finish();
}

std::string file_target(const std::string& requested, const std::string& name, bool into_directory) {
  struct stat st{};
  const bool is_directory = ::stat(requested.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
  if (is_directory && !into_directory)
    throw Error(Code::invalid_argument, "destination \"" + requested +
                                            "\" is a directory; must be a file path unless allowParentDirPath is set");
  return real_target(is_directory ? join_path(requested, name) : requested);
}

void unpack_file(link::Stream& in, const std::string& target) {
  const auto parent_name = parent_path(target);
  make_dirs(parent_name, target_directory_mode);
  const TempDir beside(parent_name, ".dagger-export-");
  {
    Tar tar(in);
    Unpacker unpacker(beside.path());
    if (!tar.next() || tar.entry.type != TarType::file)
      throw Error(Code::corrupt_data, "the runner sent no file to export");
    tar.entry.name = "file";
    unpacker.add(tar);
    if (tar.next()) throw Error(Code::corrupt_data, "the runner sent more than one file to export");
  }
  // Again, since the transfer may have taken long.
  if (const auto there = store::try_stat_at(AT_FDCWD, target)) check_replaceable(target, there->st_mode);
  if (::rename((beside.path() + "/file").c_str(), target.c_str()) != 0) throw_errno("write " + target);
}

}  // namespace dagger::session
