// core/graphql/introspection.h — internal: the resolvers of __schema, __type and the types behind them.
#pragma once
#include <memory>
#include <string_view>

#include "core/graphql/schema_view.h"
#include "core/graphql/value.h"

namespace dagger::graphql {

class Resolvers;

void add_introspection(Resolvers& resolvers);
Value introspect_schema(std::shared_ptr<const SchemaView> view);
Value introspect_type(const std::shared_ptr<const SchemaView>& view, std::string_view name);

}  // namespace dagger::graphql
