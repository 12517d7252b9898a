#include "core/graphql/schema.h"

#include <algorithm>
#include <array>
#include <set>

#include "core/graphql/error.h"
#include "core/graphql/introspection_sdl.h"
#include "core/graphql/parser.h"
#include "core/graphql/schema_check.h"
#include "core/graphql/schema_source.h"

namespace dagger::graphql {
namespace {

using ast::rows;
using Kind = ast::Definition::Kind;

// Collects the declarations of all texts, and every contradiction between them.
class Collector {
 public:
  explicit Collector(SchemaSource& source) : source_(source) {}

  void add(const std::string& text) {
    const auto document = parse_sdl(text);
    if (document == nullptr) return;
    source_.documents.push_back(document);
    for (const auto& definition : document->definitions) add(*document, definition);
  }

  void finish() {
    for (auto& [name, parts] : source_.types) {
      if (parts.front().definition->extension) problem("type " + name + " is extended but not defined");
      if (parts.size() > 1 && !parts[1].definition->extension) problem("type " + name + " is defined twice");
      for (const auto& part : parts)
        if (part.definition->kind != parts.front().definition->kind)
          problem("type " + name + " is extended as another kind of type");
    }
    for (const auto& [name, parts] : source_.types) check(name, parts);
    for (const auto& d : source_.directives)
      check_inputs("@" + std::string(d.definition->name.text), *d.document, d.definition->input_values);
    if (!source_.types.contains(source_.root_names[0])) problem("there is no type " + source_.root_names[0]);
    if (!problems_.empty()) throw Error(Code::invalid_argument, "the GraphQL schema is contradictory: " + problems_);
  }

 private:
  void problem(const std::string& text) { problems_ += (problems_.empty() ? "" : "; ") + text; }

  std::shared_ptr<const ast::Document> parse_sdl(const std::string& text) {
    try {
      return parse(text);
    } catch (const RequestError& e) {
      const auto& error = e.errors().front();
      const Location at = error.locations.front();
      problem(error.message + " (line " + std::to_string(at.line) + ", column " + std::to_string(at.column) + ")");
      return nullptr;
    }
  }

  void add(const ast::Document& document, const ast::Definition& d) {
    if (d.is_executable()) return problem("a schema may not hold operations or fragments");
    if (d.kind == Kind::schema) {
      source_.description = d.description;
      for (std::size_t i = 0; i + 1 < d.names.size(); i += 2)
        for (int kind = 0; kind < 3; ++kind)
          if (d.names[i].text == std::array{"query", "mutation", "subscription"}[static_cast<std::size_t>(kind)])
            source_.root_names[kind] = d.names[i + 1].text;
      return;
    }
    const SourceDefinition part{&document, &d, range(document, d.directives, std::string(d.name.text))};
    if (d.kind == Kind::directive) {
      source_.directives.push_back(part);
    } else {
      auto& parts = source_.types[std::string(d.name.text)];
      parts.insert(d.extension ? parts.end() : parts.begin(), part);
    }
  }

  VersionRange range(const ast::Document& document, ast::Range directives, const std::string& where) {
    for (const auto& d : rows(document.directives, directives)) {
      if (d.name.text != "since" && d.name.text != "until") continue;
      const auto text = directive_text(document, directives, d.name.text, "version", "");
      if (!Version::parse(*text))
        problem(where + ": @" + std::string(d.name.text) + " needs a version, not \"" + *text + "\"");
    }
    const VersionRange result = version_range(document, directives);
    if (!(result.since < result.until)) problem(where + ": @since is not before @until");
    if (result.since != Version{}) source_.marks.insert(result.since);
    if (result.until != VersionRange{}.until) source_.marks.insert(result.until);
    return result;
  }

  void check(const std::string& name, const std::vector<SourceDefinition>& parts) {
    std::vector<std::pair<std::string, VersionRange>> seen;
    for (const auto& [document, definition, part_range] : parts) {
      check_directives(name, *document, definition->directives);
      for (const auto& f : definition->fields) {
        const std::string where = name + "." + std::string(f.name.text);
        once(seen, where, range(*document, f.directives, where).within(part_range));
        check_directives(where, *document, f.directives);
        check_type(where, f.type, true);
        check_inputs(where, *document, f.arguments);
      }
      for (const auto& v : definition->enum_values) {
        const std::string where = name + "." + std::string(v.name.text);
        once(seen, where, range(*document, v.directives, where).within(part_range));
        check_directives(where, *document, v.directives);
      }
      check_inputs(name, *document, definition->input_values);
      for (const auto& other : definition->names)
        if (!source_.types.contains(other.text))
          problem(name + " names " + std::string(other.text) + ", which is not defined");
    }
  }

  void check_inputs(const std::string& where, const ast::Document& document, ast::Range values) {
    std::vector<std::pair<std::string, VersionRange>> seen;
    for (const auto& v : rows(document.input_values, values)) {
      const std::string name = where + "(" + std::string(v.name.text) + ":)";
      once(seen, name, range(document, v.directives, name));
      check_directives(name, document, v.directives);
      check_type(name, v.type, false);
    }
  }

  void once(std::vector<std::pair<std::string, VersionRange>>& seen, const std::string& name, const VersionRange& r) {
    for (const auto& [other, other_range] : seen)
      if (other == name && other_range.overlaps(r))
        problem(name + " is declared twice for the same versions; give the declarations @until and @since");
    seen.emplace_back(name, r);
  }

  void check_type(const std::string& where, const TypeRef& type, bool output) {
    const auto it = source_.types.find(type.name);
    if (it == source_.types.end()) return problem(where + " has type " + type.name + ", which is not defined");
    const Kind kind = it->second.front().definition->kind;
    const bool fits = kind == Kind::scalar || kind == Kind::enum_type || (kind == Kind::input) == !output;
    if (!fits) problem(where + " cannot have type " + type.name + ": " + (output ? "an input type" : "an output type"));
  }

  void check_directives(const std::string& where, const ast::Document& document, ast::Range directives) {
    for (const auto& d : rows(document.directives, directives)) {
      if (d.name.text == "since" || d.name.text == "until") continue;
      const bool known = std::any_of(source_.directives.begin(), source_.directives.end(),
                                     [&](const auto& def) { return def.definition->name.text == d.name.text; });
      if (!known) problem(where + " has @" + std::string(d.name.text) + ", which is not defined");
    }
  }

  SchemaSource& source_;
  std::string problems_;
};

}  // namespace

VersionRange version_range(const ast::Document& document, ast::Range directives) {
  VersionRange range;
  for (const auto& d : rows(document.directives, directives)) {
    Version* const end = d.name.text == "since" ? &range.since : d.name.text == "until" ? &range.until : nullptr;
    if (end == nullptr) continue;
    for (const auto& a : rows(document.arguments, d.arguments))
      if (const auto version = Version::parse(a.value.text); version && a.name.text == "version") *end = *version;
  }
  return range;
}

std::optional<std::string> directive_text(const ast::Document& document, ast::Range directives,
                                          std::string_view directive, std::string_view argument,
                                          std::string_view otherwise) {
  for (const auto& d : rows(document.directives, directives)) {
    if (d.name.text != directive) continue;
    for (const auto& a : rows(document.arguments, d.arguments))
      if (a.name.text == argument) return a.value.text;
    return std::string(otherwise);
  }
  return std::nullopt;
}

Schema Schema::parse(const std::vector<std::string>& sdl_texts) {
  auto source = std::make_unique<SchemaSource>();
  Collector collector(*source);
  collector.add(std::string(builtin_sdl));
  for (const auto& text : sdl_texts) collector.add(text);
  collector.finish();
  return Schema(std::move(source));
}

Schema::Schema(std::unique_ptr<const SchemaSource> source) : source_(std::move(source)) {
  views_.resize(source_->marks.size() + 1);
}
Schema::Schema(Schema&&) noexcept = default;
Schema& Schema::operator=(Schema&&) noexcept = default;
Schema::~Schema() = default;

std::shared_ptr<const SchemaView> Schema::view(std::optional<Version> version) {
  if (!version) {
    if (superset_ == nullptr) superset_ = ViewBuilder(*source_, std::nullopt).build();
    return superset_;
  }
  // All versions between two marks see the same; the view carries the first of them.
  const auto after = source_->marks.upper_bound(*version);
  auto& slot = views_[static_cast<std::size_t>(std::distance(source_->marks.begin(), after))];
  if (slot == nullptr)
    slot = ViewBuilder(*source_, after == source_->marks.begin() ? Version{} : *std::prev(after)).build();
  return slot;
}

std::vector<std::string> Schema::problems() {
  std::set<std::string> all;
  const auto check = [&](const SchemaView& v) {
    for (auto& problem : check_view(v)) all.insert(std::move(problem));
  };
  check(*view());
  check(*view(Version{}));
  for (const Version mark : source_->marks) check(*view(mark));
  return {all.begin(), all.end()};
}

}  // namespace dagger::graphql
