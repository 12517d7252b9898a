// Preloaded into the program under test: stops a thread at a named call of the C library, so that a test can kill the
// program at that very moment, however fast the machine is. No part of the program knows of it.
//
// DAGGER_TEST_HOLD names a directory. While there is a file `order` in it, of the form
//
//   after rename /layers/
//
// the first call of that name whose path holds the rest of the line makes a file `reached` beside it and stops, before
// or after its work, until `order` is gone. Every other call goes on. support/hold.py writes the orders.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <fstream>
#include <string>

namespace {

constexpr useconds_t pause_usec = 2000;

std::string directory() {
  const char* name = std::getenv("DAGGER_TEST_HOLD");
  return name == nullptr ? "" : name;
}

std::string path_of(int fd) {
  char path[4096];
  const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return n < 0 ? "" : std::string(path, static_cast<std::size_t>(n));
}

bool ordered(const std::string& dir, const char* when, const char* call, const std::string& path) {
  std::ifstream order(dir + "/order");
  std::string its_when, its_call, its_path;
  return order >> its_when >> its_call >> its_path && its_when == when && its_call == call &&
         path.find(its_path) != std::string::npos;
}

// path: only asked for where an order may be.
template <class Path>
void hold(const char* when, const char* call, const Path& path) {
  const int error = errno;
  const std::string dir = directory();
  if (!dir.empty() && ::access((dir + "/order").c_str(), F_OK) == 0 && ordered(dir, when, call, path())) {
    const int reached = ::open((dir + "/reached").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (reached >= 0) {
      ::close(reached);
      while (::access((dir + "/order").c_str(), F_OK) == 0) ::usleep(pause_usec);
    }
  }
  errno = error;
}

template <class Result, class Path, class... Args>
Result around(const char* call, const Path& path, Args... args) {
  using Function = Result (*)(Args...);
  const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, call));
  hold("before", call, path);
  const Result result = real(args...);
  hold("after", call, path);
  return result;
}

}  // namespace

extern "C" {

int rename(const char* from, const char* to) {
  return around<int>("rename", [&] { return std::string(to); }, from, to);
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  return around<ssize_t>("pwrite64", [&] { return path_of(fd); }, fd, data, size, offset);
}

int futimens(int fd, const struct timespec* times) {
  return around<int>("futimens", [&] { return path_of(fd); }, fd, times);
}

int syncfs(int fd) noexcept {
  return around<int>("syncfs", [&] { return path_of(fd); }, fd);
}

int openat(int dir, const char* name, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, unsigned) : 0;
  va_end(more);
  return around<int>("openat", [&] { return std::string(name); }, dir, name, flags, mode);
}

}  // extern "C"
