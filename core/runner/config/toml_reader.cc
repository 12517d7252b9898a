// The only file that knows toml++; header-only, so that the program needs no further library.
#define TOML_HEADER_ONLY 1
#include "core/runner/config/toml_reader.h"

#include <algorithm>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>
#include <toml++/toml.h>

#include "core/plugin/nearest_name.h"

namespace dagger::runner {
namespace {

const char* type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

std::string pointer_token(std::string_view key) {
  std::string token;
  for (const char c : key) token += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return token;
}

}  // namespace

struct TomlDocument::State {
  std::string name;
  toml::table root;
  std::multimap<std::pair<toml::source_index, toml::source_index>, std::string> problems;  // by line and column
  std::vector<std::string> elsewhere;

  std::string place(const toml::source_position& at) const {
    return name + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
  }
  void problem(const toml::source_region& where, std::string message) {
    problems.emplace(std::pair(where.begin.line, where.begin.column), std::move(message));
  }

  // Depth is bounded by toml++ (TOML_MAX_NESTED_VALUES).
  nlohmann::json to_json(const toml::node& node, const std::string& pointer,
                         std::map<std::string, std::string>& places) {
    places[pointer] = place(node.source().begin);
    if (const auto* table = node.as_table()) {
      auto object = nlohmann::json::object();
      for (const auto& [key, value] : *table) {
        const auto below = pointer + "/" + pointer_token(key.str());
        object[std::string(key.str())] = to_json(value, below, places);
        places[below] = place(key.source().begin);  // a key's own place says more than that of its value
      }
      return object;
    }
    if (const auto* array = node.as_array()) {
      auto list = nlohmann::json::array();
      for (const auto& value : *array)
        list.push_back(to_json(value, pointer + "/" + std::to_string(list.size()), places));
      return list;
    }
    if (const auto* v = node.as_string()) return v->get();
    if (const auto* v = node.as_integer()) return v->get();
    if (const auto* v = node.as_floating_point()) return v->get();
    if (const auto* v = node.as_boolean()) return v->get();
    problem(node.source(), "a date or time cannot be a plugin's setting; write a string");
    return nullptr;
  }
};

struct TomlTable::State {
  std::shared_ptr<TomlDocument::State> document;
  const toml::table* table = nullptr;
  std::set<std::string, std::less<>> asked;

  const toml::node* get(std::string_view key) {
    asked.emplace(key);
    return table == nullptr ? nullptr : table->get(key);
  }
  // The node if it has the wanted type; else a problem.
  template <class T>
  auto get_as(std::string_view key, const char* wanted) -> decltype(std::declval<const toml::node&>().as<T>()) {
    const auto* node = get(key);
    if (node == nullptr) return nullptr;
    const auto* typed = node->as<T>();
    if (typed == nullptr)
      document->problem(node->source(), std::string(key) + ": expected " + wanted + ", found " + type_name(*node));
    return typed;
  }
  static TomlTable make(std::shared_ptr<TomlDocument::State> document, const toml::table* table) {
    auto state = std::make_shared<State>();
    state->document = std::move(document);
    state->table = table;
    return TomlTable(std::move(state));
  }
};

TomlDocument::TomlDocument(std::optional<std::string_view> text, std::string name) : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  if (!text) return;
  try {
    state_->root = toml::parse(*text, state_->name);
  } catch (const toml::parse_error& e) {
    state_->problem(e.source(), std::string(e.description()));
  }
}
TomlDocument::~TomlDocument() = default;

TomlTable TomlDocument::root() { return TomlTable::State::make(state_, &state_->root); }

std::vector<std::string> TomlDocument::problems() const {
  std::vector<std::string> all;
  for (const auto& [at, message] : state_->problems)
    all.push_back(state_->name + ":" + std::to_string(at.first) + ":" + std::to_string(at.second) + ": " + message);
  all.insert(all.end(), state_->elsewhere.begin(), state_->elsewhere.end());
  return all;
}

void TomlDocument::problem_elsewhere(std::string message) { state_->elsewhere.push_back(std::move(message)); }

bool TomlTable::present() const noexcept { return state_->table != nullptr; }

std::string TomlTable::place() const {
  return present() ? state_->document->place(state_->table->source().begin) : std::string();
}

std::string TomlTable::place(std::string_view key) {
  const auto* node = state_->get(key);
  return node == nullptr ? std::string() : state_->document->place(node->source().begin);
}

std::optional<std::string> TomlTable::text(std::string_view key) {
  const auto* v = state_->get_as<std::string>(key, "a string");
  return v == nullptr ? std::nullopt : std::optional(v->get());
}

std::optional<bool> TomlTable::boolean(std::string_view key) {
  const auto* v = state_->get_as<bool>(key, "true or false");
  return v == nullptr ? std::nullopt : std::optional(v->get());
}

std::optional<std::int64_t> TomlTable::integer(std::string_view key, std::int64_t least, std::int64_t most) {
  const auto* v = state_->get_as<std::int64_t>(key, "an integer");
  if (v == nullptr) return std::nullopt;
  if (v->get() >= least && v->get() <= most) return v->get();
  problem(key, "must be from " + std::to_string(least) + " to " + std::to_string(most) + ", found " +
                   std::to_string(v->get()));
  return std::nullopt;
}

std::optional<std::vector<std::string>> TomlTable::texts(std::string_view key) {
  const auto* array = state_->get_as<toml::array>(key, "an array of strings");
  if (array == nullptr) return std::nullopt;
  std::vector<std::string> all;
  for (const auto& item : *array) {
    if (const auto* v = item.as_string())
      all.push_back(v->get());
    else
      state_->document->problem(
          item.source(), std::string(key) + ": expected an array of strings, found " + type_name(item) + " in it");
  }
  return all;
}

TomlTable TomlTable::table(std::string_view key) {
  return State::make(state_->document, state_->get_as<toml::table>(key, "a table"));
}

std::optional<std::vector<TomlTable::Entry>> TomlTable::entries(std::string_view key) {
  const auto* node = state_->get(key);
  if (node == nullptr) return std::nullopt;
  std::vector<Entry> all;
  const auto add = [&](const toml::node& item) {
    const auto place = state_->document->place(item.source().begin);
    if (const auto* name = item.as_string())
      all.push_back({name->get(), place, State::make(state_->document, nullptr)});
    else if (const auto* table = item.as_table())
      all.push_back({"", place, State::make(state_->document, table)});
    else
      state_->document->problem(item.source(), std::string(key) + ": expected a name or a table, found " +
                                                   type_name(item) + "; write [[" + std::string(key) +
                                                   "]] with use = \"name\"");
  };
  if (const auto* array = node->as_array())
    for (const auto& item : *array) add(item);
  else
    add(*node);
  return all;
}

std::vector<std::pair<std::string, TomlTable>> TomlTable::named_tables() {
  std::vector<std::pair<std::string, TomlTable>> all;
  if (!present()) return all;
  for (const auto& item : *state_->table) {
    const auto key = std::string(item.first.str());
    if (auto below = table(key); below.present()) all.emplace_back(key, std::move(below));
  }
  return all;
}

std::optional<std::string> TomlTable::json(std::string_view key, std::map<std::string, std::string>& places) {
  const auto* table = state_->get_as<toml::table>(key, "a table");
  if (table == nullptr) return std::nullopt;
  return state_->document->to_json(*table, "", places).dump();
}

void TomlTable::problem(std::string_view key, const std::string& message) {
  if (const auto* node = state_->get(key))
    state_->document->problem(node->source(), std::string(key) + ": " + message);
  else if (present())
    state_->document->problem(state_->table->source(), std::string(key) + ": " + message);
}

void TomlTable::check_unknown_keys() {
  if (!present()) return;
  for (const auto& item : *state_->table) {
    const auto key = std::string(item.first.str());
    if (state_->asked.count(key) != 0) continue;
    state_->document->problem(item.first.source(),
                              "unknown key \"" + key + "\"" +
                                  plugin::known_names_hint(key, {state_->asked.begin(), state_->asked.end()}, "keys"));
  }
}

}  // namespace dagger::runner
