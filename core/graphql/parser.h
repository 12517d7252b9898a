// core/graphql/parser.h — text into a Document: operations and fragments as clients send them, type definitions as our
// own SDL files hold them. Parsing only: whether names mean anything is for validate.h and schema.h.
// Does not recurse over selections; throws RequestError with graphql-js's text ("Syntax Error: Expected Name, found
// ...").
#pragma once
#include <memory>
#include <string>

#include "core/graphql/ast.h"
#include "core/graphql/limits.h"

namespace dagger::graphql {

std::shared_ptr<const ast::Document> parse(std::string text, const Limits& limits = {});

}  // namespace dagger::graphql
