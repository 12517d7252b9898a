#include "plugins/common/overlay/stubs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "plugins/common/sys/sys.h"

namespace dagger::overlay {
namespace {

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> out;
  for (std::size_t start = 0; start < path.size();) {
    const auto end = std::min(path.find('/', start), path.size());
    if (end > start) out.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  for (const auto& part : out)
    if (part == "." || part == "..")
      throw Error(Code::invalid_argument, "mount point " + path + " is not a clean path");
  return out;
}

UniqueFd make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0) sys::fail("make directory " + path);
  return sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
}

// parent/name as a directory, made if missing; empty when a file is in the way.
UniqueFd step_into(int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST) sys::fail("make directory " + name);
  UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno != ENOTDIR) sys::fail("open " + name);
  return fd;
}

void place(int parent, const std::string& name, bool directory) {
  const int made =
      directory ? ::mkdirat(parent, name.c_str(), 0755) : ::mknodat(parent, name.c_str(), S_IFREG | 0644, 0);
  if (made != 0 && errno != EEXIST) sys::fail("make mount point " + name);
}

void put_stub(int top, const std::vector<std::string>& parts, bool directory) {
  if (parts.empty()) return;  // the root itself exists
  UniqueFd here(::fcntl(top, F_DUPFD_CLOEXEC, 3));
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    here = step_into(here.get(), parts[i]);
    if (!here) return;
  }
  place(here.get(), parts.back(), directory);
}

struct Resolved {
  std::vector<std::string> parts;
  std::size_t existing = 0;  // so many of them are directories of the tree
};

// Where path leads in the tree, through its links, as names from the root.
Resolved resolve(int root, const std::string& path) {
  auto rest = components(path);
  std::vector<std::string> missing;
  for (;; missing.insert(missing.begin(), rest.back()), rest.pop_back()) {
    std::string prefix = "/";
    for (const auto& part : rest) prefix += part + "/";
    const auto fd = sys::try_open_in_root(root, prefix, O_PATH | O_DIRECTORY);
    if (!fd && !rest.empty()) continue;
    char link[4096] = "";
    if (!fd || ::readlink(sys::fd_path(fd.get()).c_str(), link, sizeof link - 1) <= 0) sys::fail("find " + path);
    Resolved r{components(link), 0};
    r.existing = r.parts.size();
    r.parts.insert(r.parts.end(), missing.begin(), missing.end());
    return r;
  }
}

void copy_metadata(int from_root, const std::string& from, int to) {
  const auto fd = sys::open_in_root(from_root, from, O_PATH | O_DIRECTORY);
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) sys::fail("look at " + from);
  const timespec times[] = {st.st_atim, st.st_mtim};
  if (::fchown(to, st.st_uid, st.st_gid) != 0 || ::fchmod(to, st.st_mode & 07777) != 0 || ::futimens(to, times) != 0)
    sys::fail("copy the attributes of " + from);
}

}  // namespace

void make_lowest_stubs(const std::string& directory, const std::vector<plugin::MountStub>& stubs) {
  const auto top = make_directory(directory);
  for (const auto& s : stubs) put_stub(top.get(), components(s.path), s.directory);
}

std::vector<plugin::MountStub> missing_stubs(int root, const std::vector<plugin::MountStub>& stubs) {
  std::vector<plugin::MountStub> out;
  for (const auto& s : stubs)
    if (!sys::try_open_in_root(root, s.path, O_PATH)) out.push_back(s);
  return out;
}

void make_topmost_stubs(const std::string& directory, int root, const std::vector<plugin::MountStub>& stubs) {
  const auto top = make_directory(directory);
  std::vector<Resolved> all;
  for (const auto& s : stubs) {
    all.push_back(resolve(root, s.path));
    put_stub(top.get(), all.back().parts, s.directory);
  }
  // Times last and deepest first: making an entry changes those of its directory.
  std::vector<std::string> copied = {"/"};
  for (const auto& r : all) {
    std::string path;
    for (std::size_t i = 0; i < r.existing; ++i) copied.push_back(path += "/" + r.parts[i]);
  }
  std::sort(copied.begin(), copied.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const auto& path : copied) {
    const auto to = sys::open_at(AT_FDCWD, directory + path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    copy_metadata(root, path, to.get());
  }
}

}  // namespace dagger::overlay
