// core/graphql/prepare.h — a document, parsed and validated against one view: everything that can be said about a query
// without running it. Immutable, so it can be cached by (text, view) and executed many times, on any thread.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/graphql/ast.h"
#include "core/graphql/error.h"
#include "core/graphql/limits.h"
#include "core/graphql/schema_view.h"

namespace dagger::graphql {

struct Prepared {
  std::shared_ptr<const ast::Document> document;
  std::shared_ptr<const SchemaView> view;
  Limits limits;
  std::unordered_map<std::string_view, std::uint32_t> fragments;  // name -> row of Document::definitions
};

// Throws RequestError with every error found: the syntax error, or what validation says.
std::shared_ptr<const Prepared> prepare(std::shared_ptr<const SchemaView> view, std::string text,
                                        const Limits& limits = {});

}  // namespace dagger::graphql
