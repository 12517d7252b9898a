// Label: a name and a value.
#include "core/session/api/resolver.h"

namespace dagger::session {

void add_label(Resolvers& r) {
  later(r, "Label", "id", resolve_id<Label>);
  r.value("Label", "name", [](const ResolveCall& call) -> Value { return self<Label>(call).name; });
  r.value("Label", "value", [](const ResolveCall& call) -> Value { return self<Label>(call).value; });
}

}  // namespace dagger::session
