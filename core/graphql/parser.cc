#include "core/graphql/parser.h"

#include <array>
#include <utility>

#include "core/graphql/error.h"
#include "core/graphql/lexer.h"

namespace dagger::graphql {
namespace {

using namespace ast;
using Kind = Definition::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 12> keywords{{{"query", Kind::query},
                                                                      {"mutation", Kind::mutation},
                                                                      {"subscription", Kind::subscription},
                                                                      {"fragment", Kind::fragment},
                                                                      {"schema", Kind::schema},
                                                                      {"scalar", Kind::scalar},
                                                                      {"type", Kind::object},
                                                                      {"interface", Kind::interface},
                                                                      {"union", Kind::union_type},
                                                                      {"enum", Kind::enum_type},
                                                                      {"input", Kind::input},
                                                                      {"directive", Kind::directive}}};

class Parser {
 public:
  Parser(Document& doc, const Limits& limits) : doc_(doc), limits_(limits), lexer_(doc.text, limits) { advance(); }

  void document() {
    do definition();
    while (token_.kind != Token::Kind::end);
  }

 private:
  // -- tokens
  void advance() { token_ = lexer_.next(); }
  bool is(std::string_view punctuator) const {
    return token_.kind == Token::Kind::punctuator && token_.text == punctuator;
  }
  bool is_keyword(std::string_view word) const { return token_.kind == Token::Kind::name && token_.text == word; }
  bool is_string() const { return token_.kind == Token::Kind::string || token_.kind == Token::Kind::block_string; }
  bool accept(std::string_view punctuator) {
    if (!is(punctuator)) return false;
    advance();
    return true;
  }
  bool accept_keyword(std::string_view word) {
    if (!is_keyword(word)) return false;
    advance();
    return true;
  }
  [[noreturn]] void fail(const std::string& what) const { fail(token_.at, what); }
  [[noreturn]] static void fail(Location at, const std::string& what) {
    throw RequestError({{.message = "Syntax Error: " + what, .locations = {at}}});
  }
  [[noreturn]] void unexpected() const { fail("Unexpected " + Lexer::describe(token_) + "."); }
  void expect(std::string_view punctuator) {
    if (!accept(punctuator))
      fail("Expected \"" + std::string(punctuator) + "\", found " + Lexer::describe(token_) + ".");
  }
  void expect_keyword(std::string_view word) {
    if (!accept_keyword(word)) fail("Expected \"" + std::string(word) + "\", found " + Lexer::describe(token_) + ".");
  }
  Name name() {
    if (token_.kind != Token::Kind::name) fail("Expected Name, found " + Lexer::describe(token_) + ".");
    const Name result{token_.text, token_.at};
    advance();
    return result;
  }
  template <class T>
  static std::uint32_t size(const std::vector<T>& table) {
    return static_cast<std::uint32_t>(table.size());
  }

  // -- definitions
  void definition() {
    const Location at = token_.at;
    if (is("{")) {
      Definition& d = add(Kind::query, at);
      check_count(d);
      selection_sets(d);
      return;
    }
    std::string description;
    const bool described = is_string();
    if (described) {
      description = std::move(token_.value);
      advance();
    }
    const bool extension = !described && accept_keyword("extend");
    for (const auto& [word, kind] : keywords) {
      if (!is_keyword(word)) continue;
      if (extension && (kind <= Kind::fragment || kind == Kind::directive)) unexpected();
      if (described && kind <= Kind::fragment)
        fail(at, "Unexpected description, only GraphQL type definitions support descriptions.");
      advance();
      Definition& d = add(kind, at);
      d.description = std::move(description);
      d.extension = extension;
      check_count(d);
      if (d.is_operation())
        operation(d);
      else if (kind == Kind::fragment)
        fragment(d);
      else
        type_system(d);
      return;
    }
    unexpected();
  }

  Definition& add(Kind kind, Location at) {
    doc_.definitions.emplace_back();
    auto& d = doc_.definitions.back();
    d.kind = kind;
    d.at = at;
    return d;
  }

  void check_count(const Definition& d) {
    if (d.is_operation() && ++operations_ > limits_.operations)
      fail(d.at, "Document contains more than " + std::to_string(limits_.operations) + " operations. Parsing aborted.");
    if (d.kind == Kind::fragment && ++fragments_ > limits_.fragments)
      fail(d.at, "Document contains more than " + std::to_string(limits_.fragments) + " fragments. Parsing aborted.");
  }

  void operation(Definition& d) {
    if (token_.kind == Token::Kind::name) d.name = name();
    if (accept("(")) {
      do d.variables.push_back(variable());
      while (!is(")") && d.variables.size() < limits_.variables);
      if (!is(")"))
        fail("Operation declares more than " + std::to_string(limits_.variables) + " variables. Parsing aborted.");
      expect(")");
    }
    d.directives = directives(false);
    selection_sets(d);
  }

  void fragment(Definition& d) {
    if (is_keyword("on")) unexpected();
    d.name = name();
    expect_keyword("on");
    d.type_condition = name();
    d.directives = directives(false);
    selection_sets(d);
  }

  Variable variable() {
    Variable v;
    v.at = token_.at;
    expect("$");
    v.name = name();
    expect(":");
    v.type_at = token_.at;
    v.type = type();
    if ((v.has_default = accept("="))) v.default_value = literal(true, 0);
    v.directives = directives(true);
    return v;
  }

  // All selection sets of one definition, with an explicit stack of the ones that are open.
  void selection_sets(Definition& d) {
    struct Open {
      std::uint32_t parent;
      std::uint32_t last;  // written so far in this set
    };
    std::vector<Open> open{{none, none}};
    const auto index = static_cast<std::uint32_t>(&d - doc_.definitions.data());
    d.selections.begin = size(doc_.selections);
    expect("{");
    if (is("}")) unexpected_in_set();
    while (!open.empty()) {
      if (is("}")) {
        advance();
        open.pop_back();
        continue;
      }
      const std::uint32_t row = size(doc_.selections);
      Open& set = open.back();
      doc_.selections.emplace_back();
      Selection& s = doc_.selections.back();
      s.parent = set.parent;
      s.definition = index;
      if (set.last != none)
        doc_.selections[set.last].next = row;
      else if (set.parent != none)
        doc_.selections[set.parent].first = row;
      else
        d.first = row;
      set.last = row;
      selection_head(s);
      if (s.kind == Selection::Kind::spread) continue;
      if (s.kind == Selection::Kind::inline_fragment && !is("{")) expect("{");
      if (!is("{")) continue;
      const Location at = token_.at;
      advance();
      s.has_set = true;
      s.set_at = at;
      if (open.size() >= limits_.selection_depth)
        fail(at, "Document nests selections deeper than " + std::to_string(limits_.selection_depth) +
                     " levels. Parsing aborted.");
      if (is("}")) unexpected_in_set();
      open.push_back({row, none});
    }
    d.selections.end = size(doc_.selections);
  }

  [[noreturn]] void unexpected_in_set() const { fail("Expected Name, found \"}\"."); }

  void selection_head(Selection& s) {
    s.at = token_.at;
    if (accept("...")) {
      const bool on = is_keyword("on");
      if (!on && token_.kind == Token::Kind::name) {
        s.kind = Selection::Kind::spread;
        s.name = name();
      } else {
        s.kind = Selection::Kind::inline_fragment;
        if (on) {
          advance();
          s.name = name();
        }
      }
      s.directives = directives(false);
      return;
    }
    s.name = name();
    if (accept(":")) {
      s.alias = s.name.text;
      s.name = name();
    }
    s.arguments = arguments(false);
    s.directives = directives(false);
  }

  // -- what operations and type definitions share
  Range arguments(bool constant) {
    Range range{size(doc_.arguments), size(doc_.arguments)};
    if (!accept("(")) return range;
    do {
      Argument a;
      a.name = name();
      expect(":");
      a.value = literal(constant, 0);
      doc_.arguments.push_back(std::move(a));
    } while (!accept(")"));
    range.end = size(doc_.arguments);
    return range;
  }

  Range directives(bool constant) {
    Range range{size(doc_.directives), 0};
    while (is("@")) {
      Directive d;
      d.at = token_.at;
      advance();
      d.name = name();
      d.arguments = arguments(constant);
      doc_.directives.push_back(d);
    }
    range.end = size(doc_.directives);
    return range;
  }

  TypeRef type() {
    unsigned lists = 0;
    while (accept("["))
      if (++lists > TypeRef::max_depth) fail("Type is nested in more than 30 lists. Parsing aborted.");
    TypeRef t{std::string(name().text), 0, 0};
    if (accept("!")) t.non_null = 1;
    while (t.depth < lists) {
      expect("]");
      ++t.depth;
      if (accept("!")) t.non_null |= 1u << t.depth;
    }
    return t;
  }

  Literal literal(bool constant, std::size_t depth) {
    if (depth > limits_.value_depth)
      fail("Value is nested deeper than " + std::to_string(limits_.value_depth) + " levels. Parsing aborted.");
    Literal v;
    v.at = token_.at;
    switch (token_.kind) {
      case Token::Kind::int_value:
      case Token::Kind::float_value:
        v.kind = token_.kind == Token::Kind::int_value ? Literal::Kind::int_value : Literal::Kind::float_value;
        v.text = token_.text;
        advance();
        return v;
      case Token::Kind::string:
      case Token::Kind::block_string:
        v.kind = Literal::Kind::string;
        v.text = std::move(token_.value);
        advance();
        return v;
      case Token::Kind::name:
        v.kind = is_keyword("true") || is_keyword("false") ? Literal::Kind::boolean
                 : is_keyword("null")                      ? Literal::Kind::null
                                                           : Literal::Kind::enum_value;
        v.text = token_.text;
        advance();
        return v;
      default:
        break;
    }
    if (accept("$")) {
      v.kind = Literal::Kind::variable;
      if (constant && token_.kind == Token::Kind::name)
        fail(v.at, "Unexpected variable \"$" + std::string(token_.text) + "\" in constant value.");
      v.text = name().text;
    } else if (accept("[")) {
      v.kind = Literal::Kind::list;
      while (!accept("]")) v.children.push_back(literal(constant, depth + 1));
    } else if (accept("{")) {
      v.kind = Literal::Kind::object;
      while (!accept("}")) {
        const Name field = name();
        expect(":");
        v.children.push_back(literal(constant, depth + 1));
        v.children.back().name = field;
      }
    } else {
      unexpected();
    }
    return v;
  }

  // -- type definitions
  void type_system(Definition& d) {
    if (d.kind == Kind::directive) return directive_definition(d);
    if (d.kind != Kind::schema) d.name = name();
    if ((d.kind == Kind::object || d.kind == Kind::interface) && accept_keyword("implements")) d.names = names("&");
    d.directives = directives(true);
    if (d.kind == Kind::union_type && accept("=")) d.names = names("|");
    if (d.kind == Kind::scalar || d.kind == Kind::union_type || !accept("{")) return;
    if (d.kind == Kind::input) {
      d.input_values = input_values("}");
      return;
    }
    do {
      if (d.kind == Kind::schema) {
        d.names.push_back(name());
        expect(":");
        d.names.push_back(name());
      } else if (d.kind == Kind::enum_type) {
        EnumValue v{.name = {}, .description = description(), .directives = {}};
        v.name = name();
        v.directives = directives(true);
        d.enum_values.push_back(std::move(v));
      } else {
        d.fields.push_back(field_definition());
      }
    } while (!accept("}"));
  }

  void directive_definition(Definition& d) {
    expect("@");
    d.name = name();
    if (accept("(")) d.input_values = input_values(")");
    d.repeatable = accept_keyword("repeatable");
    expect_keyword("on");
    d.names = names("|");
  }

  std::vector<Name> names(std::string_view separator) {
    accept(separator);
    std::vector<Name> result;
    do result.push_back(name());
    while (accept(separator));
    return result;
  }

  std::string description() {
    if (!is_string()) return {};
    std::string text = std::move(token_.value);
    advance();
    return text;
  }

  FieldDefinition field_definition() {
    FieldDefinition f;
    f.description = description();
    f.name = name();
    if (accept("(")) f.arguments = input_values(")");
    expect(":");
    f.type = type();
    f.directives = directives(true);
    return f;
  }

  Range input_values(std::string_view close) {
    Range range{size(doc_.input_values), 0};
    do {
      InputValue v;
      v.description = description();
      v.at = token_.at;
      v.name = name();
      expect(":");
      v.type = type();
      if ((v.has_default = accept("="))) v.default_value = literal(true, 0);
      v.directives = directives(true);
      doc_.input_values.push_back(std::move(v));
    } while (!accept(close));
    range.end = size(doc_.input_values);
    return range;
  }

  Document& doc_;
  const Limits& limits_;
  Lexer lexer_;
  Token token_;
  std::size_t operations_ = 0;
  std::size_t fragments_ = 0;
};

}  // namespace

std::shared_ptr<const Document> parse(std::string text, const Limits& limits) {
  auto doc = std::make_shared<Document>();
  doc->text = std::move(text);
  Parser(*doc, limits).document();
  return doc;
}

}  // namespace dagger::graphql
