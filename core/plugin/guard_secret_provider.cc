#include <fcntl.h>
#include <unistd.h>

#include "core/plugin/guard.h"
#include "core/plugin/guard_call.h"

namespace dagger::plugin {
namespace {

using detail::fault;

void check_secret(const UniqueFd& fd) {
  if (!fd) fault("returned no secret");
  constexpr int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
  if (const int seals = ::fcntl(fd.get(), F_GET_SEALS); seals < 0 || (seals & wanted) != wanted)
    fault("returned a secret that is not a sealed memfd");
  if (::lseek(fd.get(), 0, SEEK_CUR) != 0) fault("returned a secret that is not positioned at 0");
}

class GuardedSecretProvider final : public detail::GuardBase<SecretProvider> {
 public:
  using GuardBase::GuardBase;
  std::vector<std::string> schemes() const override {
    return call("schemes", [&] { return inner_.schemes(); });
  }
  UniqueFd open(std::string_view scheme, std::string_view rest, SecretContext& ctx) override {
    return call("open", [&] {
      auto fd = inner_.open(scheme, rest, ctx);
      check_secret(fd);
      return fd;
    });
  }
};

}  // namespace

std::unique_ptr<SecretProvider> guard_secret_provider(LoadedPlugin plugin) {
  return std::make_unique<GuardedSecretProvider>(std::move(plugin));
}

}  // namespace dagger::plugin
