// core/graphql/resolvers.h — the functions behind the fields, and what they are given.
//
//   Resolvers r;
//   r.value("Query", "version", [](const ResolveCall&) -> Value { return "0.1.0"; });      // answers at once, or
//   throws r.field("File", "contents", [](ResolveCall call, Completion done) { ...; done(Value(text)); });   // may
//   answer later for (const auto& problem : r.check(schema)) ...                                       // at start-up
//
// A resolver answers with a leaf value, an Object (its type_name() tells which object type of an interface it is), a
// Value::List of those, or null. Everything happens on the one thread that runs the execution.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/graphql/error.h"
#include "core/graphql/prepare.h"
#include "core/graphql/schema.h"
#include "core/graphql/value.h"

namespace dagger::graphql {

// One field to resolve. It keeps alive what it refers to, so a coroutine may hold it as long as it likes.
struct ResolveCall {
  Object parent;
  std::shared_ptr<const Value> args;  // a map: the arguments that were given or have a default, coerced
  std::shared_ptr<void> request_context;
  std::shared_ptr<const Prepared> prepared;
  std::shared_ptr<const std::vector<std::uint32_t>> selections;
  const FieldDef* field = nullptr;

  // Null when the argument was not given: has() tells that from an explicit null.
  const Value& arg(std::string_view name) const;
  bool has(std::string_view name) const { return args->find(name) != nullptr; }
  // Whether the field's own selection set asks for a field of this name (through fragments as well). A hint: @skip and
  // type conditions are not looked at.
  bool selects(std::string_view field_name) const;
  // The host's object for this request, as given to Execution::start().
  template <class T>
  T& context() const {
    return *static_cast<T*>(request_context.get());
  }
  const std::optional<Version>& version() const { return prepared->view->version(); }
};

// Where the answer of one field goes. Copies stand for the same answer; the first one wins. When all copies are gone
// without an answer, the field fails. After the execution was cancelled or has ended, answers go nowhere.
class Completion {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void complete(std::uint32_t node, std::variant<Value, FieldError> answer) = 0;
  };

  Completion(std::weak_ptr<Sink> sink, std::uint32_t node) : slot_(std::make_shared<Slot>(std::move(sink), node)) {}
  void operator()(Value value) const { slot_->answer(std::move(value)); }
  void fail(FieldError error) const { slot_->answer(std::move(error)); }
  void fail(const std::exception_ptr& error) const;
  // Nobody waits for the answer any more.
  bool abandoned() const { return slot_->sink.expired(); }

 private:
  struct Slot {
    Slot(std::weak_ptr<Sink> s, std::uint32_t n) : sink(std::move(s)), node(n) {}
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    ~Slot();
    void answer(std::variant<Value, FieldError> result);
    std::weak_ptr<Sink> sink;
    std::uint32_t node;
    bool answered = false;
  };
  std::shared_ptr<Slot> slot_;  // shared: a completion is copied into callbacks
};

// The text and extensions under which an exception of a resolver reaches the client.
FieldError to_field_error(const std::exception_ptr& error);

class Resolvers {
 public:
  using Later = std::function<void(ResolveCall, Completion)>;
  using AtOnce = std::function<Value(const ResolveCall&)>;
  using Function = std::variant<AtOnce, Later>;

  Resolvers();
  void field(std::string type, std::string field, Later function);
  void value(std::string type, std::string field, AtOnce function);
  const Function* find(std::string_view type, std::string_view field) const;
  // Every object field of any version that has no function, every function that has no field, and problems of the
  // schema.
  std::vector<std::string> check(Schema& schema) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  template <class T>
  using Table = std::unordered_map<std::string, T, Hash, std::equal_to<>>;
  void add(std::string type, std::string field, Function function);
  Table<Table<Function>> functions_;
};

}  // namespace dagger::graphql
