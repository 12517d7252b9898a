// core/graphql/schema.h — one schema for all versions of clients, read from SDL texts with version marks.
//
//   type Directory {
//     glob(pattern: String!): [String!]! @since(version: "0.9.1")
//     export(path: String!): Boolean! @until(version: "0.12.0")
//     export(path: String!): String!  @since(version: "0.12.0")
//     withDirectory(directory: ID! @until(version: "0.19.0"), source: ID! @since(version: "0.19.0")): Directory!
//   }
//
// @since is inclusive, @until exclusive; both go on types, extensions (for all they add), fields, arguments, input
// fields and enum values. A field, argument or input field may be declared several times, in ranges that do not
// overlap. The superset (no version: nobody said which client it is) holds everything; of several declarations the last
// one counts, and an argument or input field with a mark is nullable there, since no client of one version could give
// them all. The helper directives themselves are never shown to clients.
//
// Schema is for one thread (it builds views when first asked and keeps them); the views are for any thread.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/graphql/schema_view.h"
#include "core/graphql/version.h"

namespace dagger::graphql {

struct SchemaSource;

class Schema {
 public:
  // Throws Error{invalid_argument} with every contradiction found in the texts.
  static Schema parse(const std::vector<std::string>& sdl_texts);
  Schema(Schema&&) noexcept;
  Schema& operator=(Schema&&) noexcept;
  ~Schema();

  std::shared_ptr<const SchemaView> view(std::optional<Version> version = std::nullopt);
  // What is wrong in any view (an interface not implemented, a required argument that interfaces lack, ...), each once.
  // Builds every view: for start-up checks and tests.
  std::vector<std::string> problems();

 private:
  explicit Schema(std::unique_ptr<const SchemaSource> source);
  std::unique_ptr<const SchemaSource> source_;
  std::vector<std::shared_ptr<const SchemaView>> views_;  // one per interval between two marks
  std::shared_ptr<const SchemaView> superset_;
};

}  // namespace dagger::graphql
