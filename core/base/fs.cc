#include "core/base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <vector>

namespace dagger {
namespace {

Code code_of(int number) {
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      return Code::not_found;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::permission_denied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Code::no_space;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EXDEV:
    case EISDIR:
    case EEXIST:
      return Code::invalid_argument;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::unsupported;
    case EBUSY:
    case EAGAIN:
      return Code::unavailable;
    default:
      return Code::internal;
  }
}

UniqueFd openat2(int dir, const std::string& path, int flags, unsigned mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how)));
    // EAGAIN: a rename raced with the resolution of "..".
    if (fd || (errno != EINTR && errno != EAGAIN)) return fd;
  }
}

struct CloseDir {
  void operator()(DIR* d) const noexcept { ::closedir(d); }
};
using DirPtr = std::unique_ptr<DIR, CloseDir>;

// Opens a directory for removal: may be read and changed afterwards, whatever its mode was.
DirPtr open_dir(int parent, const std::string& name) {
  UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno == EACCES) {
    const UniqueFd path(::openat(parent, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    const std::string self = "/proc/self/fd/" + std::to_string(path.get());
    if (path && ::chmod(self.c_str(), 0700) == 0) fd.reset(::open(self.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  if (!fd) throw_errno("open " + name);
  struct stat st{};
  if (::fstat(fd.get(), &st) == 0 && (st.st_mode & 0700) != 0700 && ::fchmod(fd.get(), 0700) != 0)
    throw_errno("set the mode of " + name);
  DirPtr dir(::fdopendir(fd.get()));
  if (!dir) throw_errno("open " + name);
  fd.release();
  return dir;
}

// The next entry's name, or empty at the end.
std::string next_name(DIR* d) {
  for (;;) {
    errno = 0;
    const dirent* e = ::readdir(d);
    if (e == nullptr && errno != 0) throw_errno("read a directory");
    if (e == nullptr) return {};
    const std::string_view n = e->d_name;
    if (n != "." && n != "..") return std::string(n);
  }
}

dev_t device_of(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) throw_errno("look at a directory");
  return st.st_dev;
}

bool unlink_or_is_dir(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return false;
  if (errno == EISDIR || errno == EPERM) return true;
  throw_errno("remove " + name);
}

}  // namespace

Error errno_error(int number, const std::string& what) {
  char text[128] = "";
  return Error(code_of(number), what + ": " + ::strerror_r(number, text, sizeof text));
}
void throw_errno(const std::string& what) { throw errno_error(errno, what); }

UniqueFd open_file(const std::string& path, int flags, unsigned mode) { return open_at(AT_FDCWD, path, flags, mode); }

UniqueFd open_at(int dir, const std::string& name, int flags, unsigned mode) {
  UniqueFd fd;
  do fd.reset(::openat(dir, name.c_str(), flags | O_CLOEXEC, mode));
  while (!fd && errno == EINTR);
  if (!fd) throw_errno("open " + name);
  return fd;
}

UniqueFd open_in_root(int root, const std::string& path, int flags, unsigned mode) {
  auto fd = openat2(root, path, flags, mode);
  if (!fd) throw_errno("open " + path);
  return fd;
}

UniqueFd open_in_root_nofollow(int root, const std::string& path, int flags, unsigned mode) {
  return open_in_root(root, path, flags | O_NOFOLLOW, mode);
}

UniqueFd make_dirs_in_root(int root, const std::string& path, unsigned mode) {
  const std::string clean = clean_path(path);
  if (auto fd = openat2(root, clean, O_PATH | O_DIRECTORY, 0)) return fd;
  if (clean == "/") throw_errno("open the root directory");
  auto parent = make_dirs_in_root(root, parent_path(clean), mode);  // depth is bounded by PATH_MAX
  if (::mkdirat(parent.get(), base_name(clean).c_str(), mode) != 0 && errno != EEXIST)
    throw_errno("make directory " + clean);
  auto fd = openat2(root, clean, O_PATH | O_DIRECTORY, 0);
  if (!fd) throw_errno("open " + clean);
  return fd;
}

void make_dirs(const std::string& path, unsigned mode) {
  for (std::size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at);
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) throw_errno("make directory " + part);
    if (at != std::string::npos) ++at;
  }
}

std::string read_all(int fd, std::size_t limit) {
  std::string out;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read");
    if (n == 0) return out;
    if (out.size() + static_cast<std::size_t>(n) > limit)
      throw Error(Code::no_space, "more than " + std::to_string(limit) + " bytes");
    out.append(buffer, static_cast<std::size_t>(n));
  }
}

std::string read_file(const std::string& path, std::size_t limit) {
  const auto fd = open_file(path, O_RDONLY);
  try {
    return read_all(fd.get(), limit);
  } catch (const Error& e) {
    throw Error(e).in(path);
  }
}

void write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("write");
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}

void write_file_atomically(const std::string& path, std::string_view data, unsigned mode) {
  std::string beside = path + ".XXXXXX";
  UniqueFd fd(::mkostemp(beside.data(), O_CLOEXEC));
  if (!fd) throw_errno("write " + path);
  try {
    write_all(fd.get(), data);
    if (::fchmod(fd.get(), mode) != 0) throw_errno("chmod " + beside);
    if (::rename(beside.c_str(), path.c_str()) != 0) throw_errno("rename to " + path);
  } catch (const Error& e) {
    ::unlink(beside.c_str());
    throw Error(e).in("write " + path);
  }
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

void remove_tree_at(int dir, const std::string& name) {
  if (!unlink_or_is_dir(dir, name)) return;
  // Depth first with an explicit stack of open directories. A directory is reopened by name after its child is gone, so
  // only the path down is held open; paths deeper than the limit are first cut by moving the child up beside the top.
  struct Level {
    std::string name;
    DirPtr handle;
  };
  constexpr std::size_t max_depth = 256;
  std::vector<Level> down;
  std::optional<dev_t> device;
  const auto enter = [&](int parent, std::string child) {
    auto handle = open_dir(parent, child);
    const dev_t its = device_of(::dirfd(handle.get()));
    if (device.value_or(its) != its)
      throw Error(Code::unavailable, "remove " + child + ": another file system is mounted there; unmount it first");
    device = its;
    down.push_back({std::move(child), std::move(handle)});
  };
  enter(dir, name);
  std::uint64_t moved = 0;
  while (!down.empty()) {
    DIR* current = down.back().handle.get();
    const int fd = ::dirfd(current);
    const std::string child = next_name(current);
    if (child.empty()) {
      const std::string done = down.back().name;
      down.pop_back();
      const int parent = down.empty() ? dir : ::dirfd(down.back().handle.get());
      if (::unlinkat(parent, done.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
        if (errno == ENOTEMPTY) {  // entries arrived behind the read position: go again
          enter(parent, done);
          continue;
        }
        throw_errno("remove directory " + done);
      }
    } else if (unlink_or_is_dir(fd, child)) {
      if (down.size() >= max_depth) {
        const int top = ::dirfd(down.front().handle.get());
        std::string up;
        do up = ".deep-" + std::to_string(moved++);
        while (::faccessat(top, up.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0);
        if (::renameat(fd, child.c_str(), top, up.c_str()) != 0) throw_errno("remove " + child);
      } else {
        enter(fd, child);
      }
    }
  }
}

void remove_tree(const std::string& path) { remove_tree_at(AT_FDCWD, path); }

TempDir::TempDir(const std::string& parent, const std::string& prefix) : path_(parent + "/" + prefix + "XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) throw_errno("make a temporary directory in " + parent);
}
TempDir& TempDir::operator=(TempDir&& o) noexcept {
  if (this != &o) {
    TempDir old(std::move(*this));
    path_ = std::exchange(o.path_, {});
  }
  return *this;
}
TempDir::~TempDir() {
  if (path_.empty()) return;
  try {
    remove_tree(path_);
  } catch (const Error&) {  // a destructor has nobody to tell; the next start clears what is left
  }
}

UniqueFd sealed_memfd(std::string_view data, const char* name) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw_errno("memfd_create");
  write_all(fd.get(), data);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
    throw_errno("seal a memfd");
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) throw_errno("lseek");
  return fd;
}

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string out;
  for (const auto part : parts) (out += '/') += part;
  return out.empty() ? "/" : out;
}

std::string join_path(std::string_view base, std::string_view path) {
  if (path.starts_with('/')) return clean_path(path);
  return clean_path(std::string(base) + "/" + std::string(path));
}
std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}
std::string parent_path(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? "/" : std::string(path.substr(0, slash));
}

}  // namespace dagger
