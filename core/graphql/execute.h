// core/graphql/execute.h — runs one prepared operation. No threads and no event loop: resolvers answer through
// Completions, at once or later, always on the thread that called start().
//
//   auto prepared = prepare(schema.view(version), text);                      // throws RequestError
//   auto execution = Execution::start(prepared, resolvers, {.operation_name = name, .variables = variables,
//                                     .root = Object("Query"), .context = request}, [](Response r) { send(r.to_json());
//                                     });
//
// All fields of a selection set are started before any answer is waited for (those of a mutation's root one after the
// other). Answers at once are worked off from a queue, so a chain of thousands of nested fields uses no stack. When a
// null reaches the root the response is given at once, and nothing further is started.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/graphql/prepare.h"
#include "core/graphql/resolvers.h"
#include "core/graphql/response.h"

namespace dagger::graphql {

struct ExecuteOptions {
  std::string operation_name;     // "" is none
  Value variables;                // a map, null, or a JSON text of one
  Object root;                    // the parent of the operation's fields
  std::shared_ptr<void> context;  // the host's object for this request; resolvers get it
  // After `slice` pieces of work in a row the execution hands the rest to `defer`, which calls it later from the same
  // thread, so that a large answer does not hold up an event loop. Without `defer` it works on to the end.
  std::size_t slice = 500;
  std::function<void(std::function<void()>)> defer;
};

// A running execution. Destroying it is cancel(): no further resolver is started, answers go nowhere, and the response
// is not given. What resolvers already do is theirs to stop: Completion::abandoned() tells them.
class Execution {
 public:
  using Done = std::function<void(Response)>;
  // `done` may be called before start() returns, and never after cancel(). `resolvers` must outlive the execution.
  // A wrong operation name or wrong variables are a Response, not an exception.
  static std::unique_ptr<Execution> start(std::shared_ptr<const Prepared> prepared, const Resolvers& resolvers,
                                          ExecuteOptions options, Done done);
  ~Execution();
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;
  void cancel();

 private:
  class State;
  explicit Execution(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;  // shared with the loop that is running, and seen weakly by completions
};

}  // namespace dagger::graphql
