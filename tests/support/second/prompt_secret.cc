#include "tests/support/second/prompt_secret.h"

#include "core/base/fs.h"

namespace dagger::testing {

UniqueFd PromptSecret::open(std::string_view scheme, std::string_view rest, plugin::SecretContext& ctx) {
  if (scheme != "ask")
    throw Error(Code::unsupported, "scheme '" + std::string(scheme) + "' is not served by the prompt provider");
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
  if (rest.substr(0, 2) == "//") rest.remove_prefix(2);
  const auto typed = ctx.prompt(rest.empty() ? "secret" : rest, true);
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
  if (!typed)
    throw Error(Code::unavailable, "nobody can be asked for \"" + std::string(rest) + "\"; run it in a terminal");
  return sealed_memfd(*typed, "secret");
}

}  // namespace dagger::testing
