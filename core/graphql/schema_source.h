// core/graphql/schema_source.h — internal: the declarations of all SDL texts with their version ranges, from which
// ViewBuilder makes the view of one version.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/graphql/ast.h"
#include "core/graphql/schema_view.h"
#include "core/graphql/version.h"

namespace dagger::graphql {

struct SourceDefinition {
  const ast::Document* document = nullptr;
  const ast::Definition* definition = nullptr;
  VersionRange range;
};

struct SchemaSource {
  std::vector<std::shared_ptr<const ast::Document>> documents;
  std::map<std::string, std::vector<SourceDefinition>, std::less<>> types;  // the definition first, then extensions
  std::vector<SourceDefinition> directives;
  std::string root_names[3] = {"Query", "Mutation", "Subscription"};
  std::string description;
  std::set<Version> marks;  // every version at which something changes
};

// The @since/@until of a declaration; everything when there is none.
VersionRange version_range(const ast::Document& document, ast::Range directives);
// The value of a directive's string argument; nothing when the directive is not there.
std::optional<std::string> directive_text(const ast::Document& document, ast::Range directives,
                                          std::string_view directive, std::string_view argument,
                                          std::string_view otherwise);

class ViewBuilder {
 public:
  ViewBuilder(const SchemaSource& source, std::optional<Version> version) : source_(source), version_(version) {}
  std::shared_ptr<const SchemaView> build();

 private:
  bool visible(const VersionRange& range) const { return !version_ || range.contains(*version_); }
  void add_type(const std::string& name, const std::vector<SourceDefinition>& parts);
  void add_part(TypeDef& type, const SourceDefinition& part);
  std::vector<InputValueDef> input_values(const ast::Document& document, ast::Range range) const;
  void add_directives();
  void close();
  bool drop_unknown(TypeDef& type) const;
  bool drop_unknown(std::vector<InputValueDef>& values) const;
  void drop_unreachable();
  void link();

  const SchemaSource& source_;
  std::optional<Version> version_;
  std::shared_ptr<SchemaView> view_;
};

}  // namespace dagger::graphql
