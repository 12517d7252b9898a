// Makes system calls by their numbers, without arguments, and prints the name of each errno, or "fine".
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    std::puts(::syscall(std::atol(argv[i]), 0, 0, 0, 0, 0, 0) >= 0 ? "fine" : ::strerrorname_np(errno));
  return 0;
}
