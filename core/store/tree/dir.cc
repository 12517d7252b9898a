#include "core/store/tree/dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "core/base/fs.h"

namespace dagger::store {
namespace {

// Attributes of links and devices have no fd-based calls: the magic link of the directory leads to the entry.
std::string proc_path(int dir, const std::string& name) { return "/proc/self/fd/" + std::to_string(dir) + "/" + name; }

bool no_xattrs(int number) { return number == ENOTSUP || number == EPERM || number == EACCES; }

}  // namespace

std::vector<std::string> sorted_names(int dir) {
  if (::lseek(dir, 0, SEEK_SET) < 0) throw_errno("rewind a directory");
  std::vector<std::string> names;
  alignas(dirent64) std::array<char, 1 << 15> buffer;
  for (;;) {
    const ssize_t size = ::getdents64(dir, buffer.data(), buffer.size());
    if (size < 0) throw_errno("read a directory");
    if (size == 0) break;
    for (ssize_t at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      at += entry->d_reclen;
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<struct stat> try_stat_at(int dir, const std::string& name) {
  struct stat st{};
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return st;
  if (errno == ENOENT) return std::nullopt;
  throw_errno(name);
}

struct stat stat_at(int dir, const std::string& name) {
  struct stat st{};
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) throw_errno(name);
  return st;
}

struct stat stat_of(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) throw_errno("fstat");
  return st;
}

std::string read_link_at(int dir, const std::string& name) {
  std::string target(PATH_MAX, '\0');
  const ssize_t n = ::readlinkat(dir, name.c_str(), target.data(), target.size());
  if (n < 0) throw_errno("read the link " + name);
  target.resize(static_cast<std::size_t>(n));
  return target;
}

UniqueFd open_dir_at(int dir, const std::string& name) {
  return open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}
UniqueFd reopen_dir(int path_fd) { return open_at(path_fd, ".", O_RDONLY | O_DIRECTORY); }

Xattrs read_xattrs(int dir, const std::string& name) {
  const std::string path = proc_path(dir, name);
  std::string names(1024, '\0');
  ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  if (size < 0 && errno == ERANGE) {
    names.resize(XATTR_LIST_MAX);
    size = ::llistxattr(path.c_str(), names.data(), names.size());
  }
  if (size < 0 && no_xattrs(errno)) return {};
  if (size < 0) throw_errno("list the extended attributes of " + name);
  names.resize(static_cast<std::size_t>(size));
  Xattrs out;
  for (std::size_t at = 0; at < names.size(); at += std::strlen(names.c_str() + at) + 1) {
    const std::string attribute = names.c_str() + at;
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t n = ::lgetxattr(path.c_str(), attribute.c_str(), value.data(), value.size());
    if (n < 0 && (errno == ENODATA || no_xattrs(errno))) continue;
    if (n < 0) throw_errno("read the extended attribute " + attribute + " of " + name);
    out.emplace_back(attribute, value.substr(0, static_cast<std::size_t>(n)));
  }
  std::sort(out.begin(), out.end());
  return out;
}

void write_xattr(int dir, const std::string& name, const std::string& attribute, const std::string& value) {
  if (::lsetxattr(proc_path(dir, name).c_str(), attribute.c_str(), value.data(), value.size(), 0) == 0) return;
  if (errno == ENOTSUP) return;
  throw_errno("set the extended attribute " + attribute + " of " + name);
}

timespec to_timespec(std::int64_t ns) {
  constexpr std::int64_t second = 1'000'000'000;
  std::int64_t rest = ns % second;
  if (rest < 0) rest += second;
  return {static_cast<time_t>((ns - rest) / second), static_cast<long>(rest)};
}

}  // namespace dagger::store
