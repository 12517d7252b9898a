// The fields of Secret.
#include "core/session/api/resolver.h"

namespace dagger::session {
namespace {

Task<Value> plaintext(ResolveCall call) {
  co_return co_await services_of(call).secrets.value(self<Secret>(call).name, cancel_of(call));
}
Value name(const ResolveCall& call) { return self<Secret>(call).name; }

}  // namespace

void add_secret(Resolvers& r) {
  later(r, "Secret", "id", resolve_id<Secret>);
  later(r, "Secret", "plaintext", plaintext);
  r.value("Secret", "name", name);
  r.value("Secret", "uri", name);
}

}  // namespace dagger::session
