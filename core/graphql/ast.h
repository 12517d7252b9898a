// core/graphql/ast.h — a parsed document, as flat tables.
//
// Selections are nested thousands deep by real clients (a pipeline of N steps is N nested selections), so they are
// rows of one vector that point at each other by index, in document order: a parent's row always comes before its
// children's. Nothing that walks or destroys a document recurses over selections. Names are views into
// Document::text, so a Document is never moved: it lives behind a shared_ptr<const Document>, and is immutable, hence
// safe to read from any thread, once parse() returned it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dagger::graphql {

// As graphql-js counts: both from 1, columns in UTF-16 units.
struct Location {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  auto operator<=>(const Location&) const = default;
};

// [[String!]]! is name "String", depth 2, non_null 0b101: bit 0 is the named type, bit i the i-th list around it.
struct TypeRef {
  static constexpr unsigned max_depth = 30;
  std::string name;
  unsigned depth = 0;
  std::uint32_t non_null = 0;

  bool is_non_null() const { return (non_null >> depth & 1u) != 0; }
  bool is_list() const { return depth > 0; }
  TypeRef nullable() const { return {name, depth, non_null & ~(1u << depth)}; }
  TypeRef required() const { return {name, depth, non_null | 1u << depth}; }
  TypeRef item() const { return {name, depth - 1, non_null & ((1u << depth) - 1u)}; }  // of a list, outer ! ignored
  std::string text() const;
  bool operator==(const TypeRef&) const = default;
};

namespace ast {

inline constexpr std::uint32_t none = UINT32_MAX;

struct Range {  // rows [begin, end) of a table
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool empty() const { return begin == end; }
};

struct Name {
  std::string_view text;
  Location at;
};

struct Literal {
  enum class Kind { variable, int_value, float_value, string, boolean, null, enum_value, list, object };
  Kind kind = Kind::null;
  Location at;
  std::string text;               // digits, decoded string, "true", enum value, name of the variable
  Name name;                      // of the field, when this literal is the value of an object's field
  std::vector<Literal> children;  // of a list or an object
};

struct Argument {
  Name name;
  Literal value;
};

struct Directive {
  Name name;
  Location at;  // of the '@'
  Range arguments;
};

struct Selection {
  enum class Kind { field, spread, inline_fragment };
  Kind kind = Kind::field;
  Location at;             // of the alias, the name or the "..."
  Name name;               // of the field, the spread fragment, or the type condition ("" when there is none)
  std::string_view alias;  // "" when there is none
  Range arguments;
  Range directives;
  std::uint32_t parent = none;   // the selection around this one; none below a definition
  std::uint32_t next = none;     // the next one in the same selection set
  std::uint32_t first = none;    // the first one of its own selection set
  std::uint32_t definition = 0;  // row of Document::definitions
  bool has_set = false;          // { } was written
  Location set_at;               // of the '{'
  std::string_view response_name() const { return alias.empty() ? name.text : alias; }
};

struct Variable {
  Name name;
  Location at;  // of the '$'
  TypeRef type;
  Location type_at;
  bool has_default = false;
  Literal default_value;
  Range directives;
};

struct InputValue {
  Name name;
  Location at;
  std::string description;
  TypeRef type;
  bool has_default = false;
  Literal default_value;
  Range directives;
};

struct FieldDefinition {
  Name name;
  std::string description;
  Range arguments;  // of Document::input_values
  TypeRef type;
  Range directives;
};

struct EnumValue {
  Name name;
  std::string description;
  Range directives;
};

struct Definition {
  enum class Kind {
    query,
    mutation,
    subscription,
    fragment,
    schema,
    scalar,
    object,
    interface,
    union_type,
    enum_type,
    input,
    directive
  };
  Kind kind = Kind::query;
  Location at;
  Name name;  // "" for an anonymous operation and for schema
  // operations and fragments
  Name type_condition;
  std::vector<Variable> variables;
  std::uint32_t first = none;
  Range selections;  // every selection in it, at any depth
  // type system
  bool extension = false;
  bool repeatable = false;
  std::string description;
  std::vector<Name> names;  // interfaces, members of a union, locations of a directive, root types of schema (pairs)
  std::vector<FieldDefinition> fields;
  Range input_values;  // fields of an input, arguments of a directive
  std::vector<EnumValue> enum_values;
  Range directives;

  bool is_operation() const { return kind <= Kind::subscription; }
  bool is_executable() const { return kind <= Kind::fragment; }
};

struct Document {
  std::string text;
  std::vector<Definition> definitions;
  std::vector<Selection> selections;
  std::vector<Argument> arguments;
  std::vector<Directive> directives;
  std::vector<InputValue> input_values;

  Document() = default;
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
};

// The rows of a table that a Range names: for (const auto& a : rows(doc.arguments, field.arguments))
template <class T>
struct Rows {
  const T* first;
  const T* last;
  const T* begin() const { return first; }
  const T* end() const { return last; }
};
template <class T>
Rows<T> rows(const std::vector<T>& table, Range range) {
  return {table.data() + range.begin, table.data() + range.end};
}

}  // namespace ast
}  // namespace dagger::graphql
