// core/graphql/value.h — the values that flow through the GraphQL core: arguments, variables and what resolvers return.
//
// A Value owns what it holds, copies deeply (objects of the application are shared) and is as safe to use from several
// threads as a std::string is. Values that come from outside are never nested deeper than max_value_depth, so plain
// recursion over them is bounded. to_json() throws nothing; from_json_text() throws Error{invalid_argument}.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

#include "dagger/plugin/error.h"

namespace dagger::graphql {

inline constexpr std::size_t max_value_depth = 64;

// An object of the application as the executor sees it: the name of its GraphQL object type and an opaque, shared,
// immutable payload. as<T>() gives the payload back and refuses a wrong T with Error{internal}.
class Object {
 public:
  Object() = default;
  template <class T>
  Object(std::string type_name, std::shared_ptr<T> payload)
      : type_name_(std::move(type_name)),
        payload_(std::move(payload)),
        payload_type_(&typeid(std::remove_const_t<T>)) {}

  // An object that is nothing but its type: the root, a namespace of fields.
  explicit Object(std::string type_name) : type_name_(std::move(type_name)) {}

  const std::string& type_name() const { return type_name_; }
  template <class T>
  const T& as() const {
    if (!payload_ || *payload_type_ != typeid(T))
      throw Error(Code::internal, "an object of type \"" + type_name_ + "\" does not hold what its resolver expects");
    return *static_cast<const T*>(payload_.get());
  }

 private:
  std::string type_name_;
  std::shared_ptr<const void> payload_;
  const std::type_info* payload_type_ = nullptr;
};

class Value {
 public:
  struct Enum {
    std::string name;
    bool operator==(const Enum&) const = default;
  };
  using List = std::vector<Value>;
  using Member = std::pair<std::string, Value>;
  using Map = std::vector<Member>;  // order is kept

  Value() = default;
  Value(std::nullptr_t) {}                              // NOLINT(google-explicit-constructor)
  Value(bool v) : data_(v) {}                           // NOLINT(google-explicit-constructor)
  Value(int v) : data_(std::int64_t{v}) {}              // NOLINT(google-explicit-constructor)
  Value(std::int64_t v) : data_(v) {}                   // NOLINT(google-explicit-constructor)
  Value(double v) : data_(v) {}                         // NOLINT(google-explicit-constructor)
  Value(std::string v) : data_(std::move(v)) {}         // NOLINT(google-explicit-constructor)
  Value(std::string_view v) : data_(std::string(v)) {}  // NOLINT(google-explicit-constructor)
  Value(const char* v) : data_(std::string(v)) {}       // NOLINT(google-explicit-constructor)
  Value(Enum v) : data_(std::move(v)) {}                // NOLINT(google-explicit-constructor)
  Value(List v) : data_(std::move(v)) {}                // NOLINT(google-explicit-constructor)
  Value(Map v) : data_(std::move(v)) {}                 // NOLINT(google-explicit-constructor)
  Value(Object v) : data_(std::move(v)) {}              // NOLINT(google-explicit-constructor)

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  // The alternative, or null when the value is of another kind.
  template <class T>
  const T* get_if() const {
    return std::get_if<T>(&data_);
  }
  const bool* as_bool() const { return get_if<bool>(); }
  const std::int64_t* as_int() const { return get_if<std::int64_t>(); }
  const double* as_double() const { return get_if<double>(); }
  const std::string* as_string() const { return get_if<std::string>(); }
  std::string take_string() && { return std::get<std::string>(std::move(data_)); }
  const Enum* as_enum() const { return get_if<Enum>(); }
  const List* as_list() const { return get_if<List>(); }
  const Map* as_map() const { return get_if<Map>(); }
  const Object* as_object() const { return get_if<Object>(); }

  // The member of a map, or null when there is none (or this is no map).
  const Value* find(std::string_view name) const;
  void set(std::string name, Value value);  // on a map, or on null, which becomes a map

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Enum, List, Map, Object> data_;
};

// Compact JSON. An application object is written as null: it has no fields of its own.
std::string to_json(const Value& value);
void append_json(const Value& value, std::string& out);
// A JSON string literal; bytes that are not UTF-8 become U+FFFD, so that the answer is always valid JSON.
void append_json_string(std::string_view text, std::string& out);

// Parses JSON of a client. Whole numbers beyond 64 bits become doubles; members of objects come out sorted by name.
Value from_json_text(std::string_view text);

// As a person writes it in an error message, the way graphql-js does: { a: [1, "x"] }
std::string inspect(const Value& value);

}  // namespace dagger::graphql
