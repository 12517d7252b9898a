#include "core/graphql/prepare.h"

#include "core/graphql/parser.h"
#include "core/graphql/validate.h"

namespace dagger::graphql {

std::shared_ptr<const Prepared> prepare(std::shared_ptr<const SchemaView> view, std::string text,
                                        const Limits& limits) {
  auto prepared = std::make_shared<Prepared>();
  prepared->document = parse(std::move(text), limits);
  prepared->view = std::move(view);
  prepared->limits = limits;
  if (auto errors = validate(*prepared->view, *prepared->document, limits); !errors.empty())
    throw RequestError(std::move(errors));
  const auto& definitions = prepared->document->definitions;
  for (std::uint32_t i = 0; i < definitions.size(); ++i)
    if (definitions[i].kind == ast::Definition::Kind::fragment)
      prepared->fragments.emplace(definitions[i].name.text, i);
  return prepared;
}

}  // namespace dagger::graphql
