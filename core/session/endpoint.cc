#include "core/session/endpoint.h"

#include "core/session/api/resolver.h"
#include "core/session/generation.h"
#include "core/session/schema/schema.h"

namespace dagger::session {
namespace {

constexpr std::size_t max_claims = 64;
constexpr std::size_t fields_at_once = 32;  // each may encode and hash an op

graphql::Resolvers all_resolvers() {
  graphql::Resolvers r;
  add_query(r);
  add_container_config(r);
  add_container_exec(r);
  add_container_files(r);
  add_container_mounts(r);
  add_directory(r);
  add_file(r);
  add_host(r);
  add_secret(r);
  add_cache_volume(r);
  add_git(r);
  add_env_variable(r);
  add_label(r);
  return r;
}

}  // namespace

Endpoint::Endpoint(Services& services, Pool& pool, TaskGroup& tasks)
    : services_(services),
      pool_(pool),
      tasks_(tasks),
      resolvers_(all_resolvers()),
      schema_(graphql::Schema::parse(schema_texts())) {}

std::vector<std::string> Endpoint::problems() {
  const std::scoped_lock lock(schema_mutex_);
  return resolvers_.check(schema_);
}

Endpoint::Choice Endpoint::version_for(const GraphqlRequest& request) const {
  if (request.version) return {request.version, false};
  if (const auto version = graphql::Version::parse(services_.client.version)) return {version, false};
  const auto at = claimed_.find(request.user_agent);
  if (at != claimed_.end()) return {at->second, true};
  return {generation_by_headers(request.user_agent, request.host, request.traced), true};
}

Endpoint::Document Endpoint::prepare(const std::string& text, const Choice& choice) {
  const auto fit = [&](std::optional<graphql::Version> version) {
    std::shared_ptr<const graphql::SchemaView> view;
    {
      const std::scoped_lock lock(schema_mutex_);
      view = schema_.view(version);
    }
    return Document{graphql::prepare(view, text), !version};
  };
  // Who makes its queries from the schema it is shown must find all of it, whichever generation it turns out to be.
  const bool introspects = text.find("__schema") != std::string::npos;
  if (choice.version && !(choice.guessed && introspects)) {
    try {
      return fit(choice.version);
    } catch (const graphql::RequestError&) {
      if (!choice.guessed) throw;
    }
  }
  return fit(std::nullopt);
}

void Endpoint::learn(const std::string& user_agent, const Request& request) {
  if (claimed_.size() >= max_claims) return;
  if (const auto said = graphql::Version::parse(request.claimed_version)) {
    claimed_[user_agent] = *said;
  } else if (request.asked_version) {
    if (const auto told = generation_by_question(user_agent)) claimed_.try_emplace(user_agent, *told);
  }
}

Task<graphql::Response> Endpoint::execute(GraphqlRequest request, CancelToken cancel) {
  const auto choice = version_for(request);
  const auto user_agent = request.user_agent;
  auto parse = [&] { return prepare(request.query, choice); };
  Document document;
  graphql::Response refused;
  try {
    document = co_await on_pool(services_.loop, pool_, std::ref(parse));
  } catch (const graphql::RequestError& error) {
    refused = graphql::response_of(error);
  }
  if (!document.prepared) co_return refused;
  cancel.throw_if_cancelled();
  const auto context = std::make_shared<Request>(services_, tasks_, choice.version, document.superset);
  auto response = co_await run(std::move(document), context, std::move(request), std::move(cancel));
  learn(user_agent, *context);
  co_return response;
}

Task<graphql::Response> Endpoint::run(Document document, std::shared_ptr<Request> context, GraphqlRequest request,
                                      CancelToken cancel) {
  OneShot<graphql::Response> answered(services_.loop);
  graphql::ExecuteOptions options;
  options.operation_name = request.operation_name;
  options.variables = std::move(request.variables);
  options.root = graphql::Object("Query");
  options.context = context;
  options.slice = fields_at_once;
  options.defer = [&loop = services_.loop](std::function<void()> rest) { loop.post(std::move(rest)); };
  const auto subscription = cancel.on_cancel([context, answered, cancel] {
    context->cancel.request(cancel.reason());
    answered.fail(std::make_exception_ptr(Error(Code::cancelled, cancel.reason())));
  });
  const auto execution =
      graphql::Execution::start(std::move(document.prepared), resolvers_, std::move(options),
                                [answered](graphql::Response response) { answered.set(std::move(response)); });
  auto response = co_await answered;
  context->cancel.request("the request has its answer");  // resolvers whose answers go nowhere
  co_return response;
}

}  // namespace dagger::session
