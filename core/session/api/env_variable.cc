// EnvVariable: a name and a value.
#include "core/session/api/resolver.h"

namespace dagger::session {

void add_env_variable(Resolvers& r) {
  later(r, "EnvVariable", "id", resolve_id<EnvVariable>);
  r.value("EnvVariable", "name", [](const ResolveCall& call) -> Value { return self<EnvVariable>(call).name; });
  r.value("EnvVariable", "value", [](const ResolveCall& call) -> Value { return self<EnvVariable>(call).value; });
}

}  // namespace dagger::session
