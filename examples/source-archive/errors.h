// Errors that come from the operating system.
#pragma once
#include <dagger/plugin/error.h>

#include <cerrno>
#include <system_error>

namespace source_archive {

inline std::string errno_text(int number) { return std::generic_category().message(number); }

[[noreturn]] inline void throw_errno(const std::string& doing) {
  const int number = errno;
  throw dagger::Error(number == ENOSPC || number == EDQUOT ? dagger::Code::no_space : dagger::Code::internal,
                      "cannot " + doing + ": " + errno_text(number));
}

}  // namespace source_archive
