// What errors are made of: texts from outside, made fit to be shown, and errors of the operating system.
#pragma once
#include <dagger/plugin/error.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace source_archive {

// Names in archives and answers of servers may contain any byte, and as many as they like.
inline std::string shown(std::string_view text) {
  std::string out(text.substr(0, 200));
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  return out;
}

inline std::string errno_text(int number) { return std::generic_category().message(number); }

[[noreturn]] inline void throw_errno(const std::string& doing) {
  const int number = errno;
  throw dagger::Error(number == ENOSPC || number == EDQUOT ? dagger::Code::no_space : dagger::Code::internal,
                      "cannot " + doing + ": " + errno_text(number));
}

}  // namespace source_archive
