// core/session/host/paths.h — which place of the client's machine a path of the API means. Pure text: knows no links.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

namespace dagger::session {

// Throws Error{invalid_argument} for a zero byte: the kernel would not see what comes after it.
void check_path(std::string_view path);

// Absolute paths as they are; relative ones from workdir, which they may not leave: Error{invalid_argument} with a text
// that does not tell where workdir is. The result is clean.
std::string host_path(std::string_view workdir, std::string_view path);

// "a regular file", "a character device", ...: for errors.
const char* type_name(mode_t mode);

}  // namespace dagger::session
