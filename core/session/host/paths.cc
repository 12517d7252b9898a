#include "core/session/host/paths.h"

#include <sys/stat.h>

#include <vector>

#include "core/base/fs.h"

namespace dagger::session {
namespace {

// "a/../../b/." -> "../b": keeps the ".." that lead out.
std::string clean_relative(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part == ".." && !parts.empty() && parts.back() != "..")
      parts.pop_back();
    else if (!part.empty() && part != ".")
      parts.push_back(part);
  }
  std::string out;
  for (const auto part : parts) (out.empty() ? out : out += '/') += part;
  return out.empty() ? "." : out;
}

}  // namespace

void check_path(std::string_view path) {
  const auto zero = path.find('\0');
  if (zero != std::string_view::npos)
    throw Error(Code::invalid_argument,
                "path \"" + std::string(path.substr(0, zero)) + "...\" holds a zero byte, which no path can");
}

std::string host_path(std::string_view workdir, std::string_view path) {
  check_path(path);
  if (path.starts_with('/')) return clean_path(path);
  const auto relative = clean_relative(path);
  if (relative == ".." || relative.starts_with("../"))
    throw Error(Code::invalid_argument, "path \"" + relative + "\" escapes workdir; use an absolute path instead");
  return join_path(workdir, relative);
}

const char* type_name(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "a regular file";
    case S_IFDIR:
      return "a directory";
    case S_IFLNK:
      return "a symbolic link";
    case S_IFCHR:
      return "a character device";
    case S_IFBLK:
      return "a block device";
    case S_IFIFO:
      return "a fifo";
    case S_IFSOCK:
      return "a socket";
    default:
      return "of an unknown type";
  }
}

}  // namespace dagger::session
