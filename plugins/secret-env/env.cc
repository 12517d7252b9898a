// secret-env: "env:NAME" and "env://NAME" give the value of a variable of the client's environment.
//
// Read through the call's context, not by getenv: the asking client's environment counts, and no copy stays in this
// plugin.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "dagger/plugin/export.h"
#include "dagger/plugin/secret_provider.h"

namespace {

using dagger::Code;
using dagger::Error;
using dagger::UniqueFd;
using dagger::plugin::Host;
using dagger::plugin::SecretContext;
using dagger::plugin::SecretProvider;

[[noreturn]] void fail_errno(const char* what) {
  throw Error(Code::internal, std::string(what) + ": " + std::generic_category().message(errno));
}

// A memfd that nobody can change any more, positioned at 0.
UniqueFd sealed(std::string_view value) {
  UniqueFd fd(::memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) fail_errno("make a memory file");
  for (std::size_t at = 0; at < value.size();) {
    const auto n = ::pwrite(fd.get(), value.data() + at, value.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_errno("write a memory file");
    at += static_cast<std::size_t>(n);
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    fail_errno("seal a memory file");
  return fd;
}

std::string_view variable_name(std::string_view rest) {
  if (rest.substr(0, 2) == "//") rest.remove_prefix(2);
  if (rest.empty() || rest.find_first_of(std::string_view("=\0", 2)) != std::string_view::npos)
    throw Error(Code::invalid_argument,
                "\"env:" + std::string(rest) + "\" names no variable; write env:NAME or env://NAME");
  return rest;
}

class EnvSecrets final : public SecretProvider {
 public:
  static constexpr char settings_schema[] = R"({"type": "object", "additionalProperties": false, "properties": {},
    "description": "Values of variables in the client's environment: env:NAME, env://NAME"})";

  EnvSecrets(Host&, std::string_view) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::vector<std::string> schemes() const override { return {"env"}; }

  UniqueFd open(std::string_view scheme, std::string_view rest, SecretContext& ctx) override {
    if (scheme != "env")
      throw Error(Code::unsupported, "scheme '" + std::string(scheme) + "' is not served by the env provider");
    if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
    const auto name = variable_name(rest);
    auto value = ctx.client_env(name);
    if (!value)
      throw Error(Code::not_found,
                  "secret env var not found: \"" + std::string(name) + "\"; set it in the client's environment");
    auto fd = sealed(*value);
    ::explicit_bzero(value->data(), value->size());
    return fd;
  }
};

}  // namespace

DAGGER_PLUGIN(dagger::plugin::SecretProvider, EnvSecrets, "env", "1.0.0", "Dagger");
