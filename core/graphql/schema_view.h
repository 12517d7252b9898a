// core/graphql/schema_view.h — the schema as clients of one version see it. Immutable once built, so it may be read
// from any thread; shared, because prepared documents keep the view they were checked against.
//
// A view is closed: whatever it names it also holds. A field, argument or member whose type is not visible is not
// visible either, a type that is left without content goes, and so does a type that nothing reaches from the roots.
// (Scalars stay: documents of older clients still declare variables of them.)
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/graphql/ast.h"
#include "core/graphql/value.h"
#include "core/graphql/version.h"

namespace dagger::graphql {

struct TypeDef;

struct InputValueDef {
  std::string name;
  std::string description;
  TypeRef type;
  const TypeDef* named_type = nullptr;
  const ast::Literal* default_literal = nullptr;  // as written; null when there is no default
  Value default_value;                            // coerced to the type
  std::optional<std::string> deprecation;         // the reason
  bool has_default() const { return default_literal != nullptr; }
  bool is_required() const { return type.is_non_null() && !has_default(); }
};

struct FieldDef {
  std::string name;
  std::string description;
  std::vector<InputValueDef> args;  // in the order of the SDL: generated code passes required ones by position
  TypeRef type;
  const TypeDef* named_type = nullptr;
  std::optional<std::string> deprecation;
  const InputValueDef* find_arg(std::string_view arg) const;
};

struct EnumValueDef {
  std::string name;
  std::string description;
  std::optional<std::string> deprecation;
};

struct TypeDef {
  enum class Kind { scalar, object, interface, union_type, enum_type, input };
  Kind kind = Kind::scalar;
  std::string name;
  std::string description;
  std::vector<FieldDef> fields;             // sorted by name
  std::vector<std::string> interfaces;      // sorted; those of interfaces as well
  std::vector<std::string> possible_types;  // sorted; objects that an interface or a union can be
  std::vector<EnumValueDef> enum_values;    // sorted by name
  std::vector<InputValueDef> input_fields;  // in the order of the SDL
  std::string specified_by_url;
  bool one_of = false;

  const FieldDef* find_field(std::string_view field) const;
  const EnumValueDef* find_enum_value(std::string_view value) const;
  const InputValueDef* find_input_field(std::string_view field) const;
  bool can_be(std::string_view object) const;  // object's name is among possible_types, or this very type
  bool is_composite() const { return kind == Kind::object || kind == Kind::interface || kind == Kind::union_type; }
  bool is_abstract() const { return kind == Kind::interface || kind == Kind::union_type; }
  bool is_leaf() const { return kind == Kind::scalar || kind == Kind::enum_type; }
  bool is_input() const { return is_leaf() || kind == Kind::input; }
  bool is_builtin() const { return name.starts_with("__"); }
};

struct DirectiveDef {
  std::string name;
  std::string description;
  std::vector<std::string> locations;
  std::vector<InputValueDef> args;
  bool repeatable = false;
  const InputValueDef* find_arg(std::string_view arg) const;
  bool allowed_on(std::string_view location) const;
};

class SchemaView {
 public:
  const TypeDef* find_type(std::string_view name) const;
  const DirectiveDef* find_directive(std::string_view name) const;
  // The type that operations of a kind start from; null when the schema has none.
  const TypeDef* root(ast::Definition::Kind operation) const;
  // The field of a composite type, including __typename and, on the query root, __schema and __type.
  const FieldDef* find_field(const TypeDef& type, std::string_view name) const;

  const std::map<std::string, TypeDef, std::less<>>& types() const { return types_; }
  const std::map<std::string, DirectiveDef, std::less<>>& directives() const { return directives_; }
  const std::string& description() const { return description_; }
  // Nothing for the superset.
  const std::optional<Version>& version() const { return version_; }

 private:
  friend class ViewBuilder;
  std::map<std::string, TypeDef, std::less<>> types_;
  std::map<std::string, DirectiveDef, std::less<>> directives_;
  std::string root_names_[3];  // by ast::Definition::Kind
  std::string description_;
  std::optional<Version> version_;
  std::vector<std::shared_ptr<const ast::Document>> documents_;  // hold the literals of defaults
  FieldDef typename_field_;
  FieldDef schema_field_;
  FieldDef type_field_;
};

// Scalars that may stand for each other in variables: ID and every custom scalar whose name ends in "ID". Clients
// before 0.21.1 declare $id: DirectoryID!, while the newest schema knows nothing but ID.
bool same_scalar(std::string_view a, std::string_view b);

}  // namespace dagger::graphql
