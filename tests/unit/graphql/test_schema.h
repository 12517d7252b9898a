// The schema that the tests of validation and execution share.
#pragma once
#include <string_view>

namespace dagger::graphql {

inline constexpr std::string_view test_schema_sdl = R"graphql(
interface Node { id: ID! }
interface Named implements Node { id: ID! name(surname: Boolean): String }
type Dog implements Named & Node {
  id: ID!
  name(surname: Boolean): String
  barks: Boolean!
  volume: Int
  does(command: Command!, times: Int! = 1): Boolean!
  owner: Human
  tags: [String!]!
}
type Cat implements Named & Node { id: ID! name(surname: Boolean): String meows: Boolean! volume: String owner: Human }
type Human implements Node { id: ID! pets: [Pet!]! dog: Dog! age: Int }
union Pet = Dog | Cat
union Alien = Human
enum Command { SIT HEEL }
input Filter { min: Int! = 0, must: String!, tags: [String!], nested: Filter }
input Choice @oneOf { a: Int b: String }
scalar Any
directive @onQuery on QUERY
directive @many(n: Int!) repeatable on FIELD
type Query {
  dog(id: ID): Dog
  named: Named
  pet: Pet
  human(name: String!): Human
  find(filter: Filter, numbers: [Int!], ratio: Float, flag: Boolean, any: Any, matrix: [[Int]]): Dog
  choose(choice: Choice!): Int
  int(value: Int): Int
  alien: Alien
}
type Mutation { rename(name: String!): Dog }
type Subscription { barked: Dog other: Int }
)graphql";

}  // namespace dagger::graphql
