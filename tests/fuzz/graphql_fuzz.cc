// Any bytes as a GraphQL document: parsing and validating them must end, in bounded time, with a result or
// RequestError.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/graphql/execute.h"
#include "core/graphql/schema.h"

using namespace dagger::graphql;

namespace {

constexpr const char* sdl = R"(
interface Node { id: ID! }
type Dog implements Node { id: ID! name(short: Boolean = false): String! owner: Human tags: [String!]! }
type Human implements Node { id: ID! pets(kind: Kind, filter: Filter): [Pet!]! }
union Pet = Dog | Human
enum Kind { BIG SMALL }
input Filter { min: Int! = 0, not: Filter, tags: [String!] }
type Query { dog(id: ID): Dog human(name: String!): Human node(id: ID!): Node any(of: [[Int]]): Int }
type Mutation { rename(name: String!): Dog }
type Subscription { barked: Dog }
)";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Schema schema = Schema::parse({sdl});
  static const Resolvers resolvers;  // nothing but introspection: every other field fails
  Limits limits;
  limits.result_nodes = 10'000;
  try {
    const auto prepared = prepare(schema.view(), std::string(reinterpret_cast<const char*>(data), size), limits);
    Execution::start(prepared, resolvers, {.root = Object("Query")}, [](const Response& r) { r.to_json(); });
  } catch (const RequestError& e) {
    if (e.errors().empty()) __builtin_trap();
  }
  return 0;
}
