// core/session/api/resolver.h — how the resolver files of this folder are written.
//
// A field that only builds is a plain function; one that waits is a coroutine. Both get the ResolveCall by value or
// reference, read arguments through the helpers below and answer with leaf values or object().
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/graphql/resolvers.h"
#include "core/session/services.h"

namespace dagger::session {

using graphql::ResolveCall;
using graphql::Resolvers;
using graphql::Value;

// One function per type registers its fields.
void add_query(Resolvers& resolvers);
void add_container_config(Resolvers& resolvers);
void add_container_exec(Resolvers& resolvers);
void add_container_files(Resolvers& resolvers);
void add_container_mounts(Resolvers& resolvers);
void add_directory(Resolvers& resolvers);
void add_file(Resolvers& resolvers);
void add_host(Resolvers& resolvers);
void add_secret(Resolvers& resolvers);
void add_cache_volume(Resolvers& resolvers);
void add_git(Resolvers& resolvers);
void add_env_variable(Resolvers& resolvers);
void add_label(Resolvers& resolvers);

// A field whose answer is waited for.
void later(Resolvers& resolvers, const char* type, const char* field, Task<Value> (*function)(ResolveCall call));

inline Request& request_of(const ResolveCall& call) { return call.context<Request>(); }
inline Services& services_of(const ResolveCall& call) { return request_of(call).services; }
inline CancelToken cancel_of(const ResolveCall& call) { return request_of(call).cancel.token(); }

template <class T>
Value object(T value) {
  return graphql::Object(T::kind, std::make_shared<T>(std::move(value)));
}
template <class T>
const T& self(const ResolveCall& call) {
  return call.parent.as<T>();
}

// Arguments: the value, or a default where none (or null) was given.
const std::string& text_arg(const ResolveCall& call, std::string_view name);
std::string text_arg_or(const ResolveCall& call, std::string_view name, std::string_view otherwise);
bool flag_arg(const ResolveCall& call, std::string_view name, bool otherwise = false);
std::int64_t int_arg(const ResolveCall& call, std::string_view name, std::int64_t otherwise);
std::vector<std::string> texts_arg(const ResolveCall& call, std::string_view name);
// A file mode; throws invalid_argument for what is none.
std::uint32_t mode_arg(const ResolveCall& call, std::string_view name, std::uint32_t otherwise);
Value::List list_of(const std::vector<std::string>& texts);
// The first of two names that was given: arguments that were renamed.
std::string_view given_arg(const ResolveCall& call, std::string_view name, std::string_view other);

// Whether the client was made for this API version or a later one. A client of unknown version counts as 0.9.
bool client_since(const ResolveCall& call, graphql::Version version);

template <class T>
Task<T> load(const ResolveCall& call, std::string id) {
  return services_of(call).ids.load<T>(std::move(id), cancel_of(call));
}
// "" means an empty directory, as old clients have it.
Task<Directory> load_directory(ResolveCall call, std::string id);

template <class T>
Task<Value> resolve_id(ResolveCall call) {
  co_return co_await services_of(call).ids.id_of(self<T>(call), cancel_of(call));
}
template <class T>
Task<Value> resolve_load(ResolveCall call) {
  co_return object(co_await load<T>(call, text_arg(call, "id")));
}

// The text and extensions of a failed exec; everything else as it is.
[[noreturn]] void rethrow_for_client(const std::exception_ptr& error);

}  // namespace dagger::session
