#include "core/plugin/file_checks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "core/base/fs.h"

namespace dagger::plugin {
namespace {

std::string octal(mode_t mode) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode & 07777));
  return text.data();
}

using Reasons = std::vector<Error>;

// subject: "" for the file itself, else "its directory /x ".
void check_owner(const struct stat& st, const std::string& path, const std::string& subject, Reasons& reasons) {
  const uid_t own = ::geteuid();
  if (st.st_uid == 0 || st.st_uid == own) return;
  reasons.emplace_back(Code::permission_denied,
                       subject + "is owned by uid " + std::to_string(st.st_uid) + ", expected root" +
                           (own == 0 ? "" : " or uid " + std::to_string(own)) + "; run: chown root " + path);
}

void check_writers(const struct stat& st, const std::string& path, const std::string& subject, Reasons& reasons) {
  if ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0) return;
  reasons.emplace_back(Code::permission_denied, subject + "is writable by " +
                                                    ((st.st_mode & S_IWOTH) != 0 ? "others" : "its group") + " (mode " +
                                                    octal(st.st_mode) + "); run: chmod go-w " + path);
}

// Whoever may rename entries of a directory above the file could swap the file. A sticky directory (/tmp) protects
// entries of other owners, but not the directory of the plugin itself: there anybody could add a file under a new
// plugin's name.
void check_directories(const std::string& file, Reasons& reasons) {
  bool nearest = true;
  for (std::string dir = parent_path(file);; dir = parent_path(dir), nearest = false) {
    struct stat st{};
    if (::stat(dir.c_str(), &st) != 0) throw_errno("its directory " + dir);
    const auto subject = "its directory " + dir + " ";
    check_owner(st, dir, subject, reasons);
    if (nearest || (st.st_mode & S_ISVTX) == 0) check_writers(st, dir, subject, reasons);
    if (dir == "/") return;
  }
}

Reasons distrust_file(int fd, const std::string& file) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) throw_errno("cannot be read");
  Reasons reasons;
  if (!S_ISREG(st.st_mode))
    reasons.emplace_back(Code::invalid_argument,
                         std::string("is ") + (S_ISDIR(st.st_mode) ? "a directory" : "a special file") +
                             ", expected a regular file; correct the path in the configuration");
  check_owner(st, file, "", reasons);
  check_writers(st, file, "", reasons);
  return reasons;
}

}  // namespace

std::string canonical_path(const std::string& file) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(file.c_str(), nullptr), std::free);
  if (real) return real.get();
  if (errno == ENOENT || errno == ENOTDIR)
    throw Error(Code::not_found, "there is no such file; install it, or correct the path in the configuration");
  throw_errno("cannot be resolved");
}

void check_trusted_file(int fd, const std::string& file) {
  if (auto reasons = distrust_file(fd, file); !reasons.empty()) throw std::move(reasons.front());
}

std::vector<Error> distrust(int fd, const std::string& file) {
  auto reasons = distrust_file(fd, file);
  check_directories(file, reasons);
  return reasons;
}

UniqueFd open_trusted(const std::string& file) {
  UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!fd) throw_errno("cannot be read");
  if (auto reasons = distrust(fd.get(), file); !reasons.empty()) throw std::move(reasons.front());
  return fd;
}

}  // namespace dagger::plugin
