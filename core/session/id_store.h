// core/session/id_store.h — ids of objects: what freezes an object beyond its session, and finds it again.
//
// An id is a few letters for the kind and a prefix of the SHA-256 of (kind, body): equal for equal objects on every
// machine. Asking for one stores its recipe in the runner. Control thread.
// Errors: invalid_argument for an id of another kind or a malformed one; what recipe.get throws for an unknown one.
#pragma once
#include <map>
#include <string>

#include "core/session/objects.h"
#include "core/session/runner.h"

namespace dagger::session {

std::string make_id(std::string_view kind, std::string_view body);
// The kind that the id's letters stand for. Throws invalid_argument "malformed ID: ..." when there is none.
std::string kind_of_id(std::string_view id);

class IdStore {
 public:
  explicit IdStore(Runner& runner) : runner_(runner) {}

  template <class T>
  Task<std::string> id_of(T object, CancelToken cancel) {
    link::Recipe recipe;
    recipe.kind = T::kind;
    recipe.body = cbor::pack(object);
    recipe.ops = ops_of(object);
    recipe.id = make_id(recipe.kind, recipe.body);
    co_return co_await keep(std::move(recipe), std::move(cancel));
  }
  template <class T>
  Task<T> load(std::string id, CancelToken cancel) {
    const auto body = co_await find(std::move(id), T::kind, std::move(cancel));
    co_return cbor::unpack<T>(body);
  }

 private:
  Task<std::string> keep(link::Recipe recipe, CancelToken cancel);
  Task<std::string> find(std::string id, std::string kind, CancelToken cancel);

  Runner& runner_;
  std::map<std::string, std::string> bodies_;  // of every id this session has seen
};

}  // namespace dagger::session
