#include "core/session/endpoint.h"

#include "core/session/api/resolver.h"
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
  return {};
}

Endpoint::Document Endpoint::prepare(const std::string& text, const Choice& choice) {
  const auto fit = [&](std::optional<graphql::Version> version) {
    std::shared_ptr<const graphql::SchemaView> view;
    {
      const std::scoped_lock lock(schema_mutex_);
      view = schema_.view(version);
    }
    return Document{graphql::prepare(view, text), version};
  };
  if (!choice.guessed) return fit(choice.version);
  try {
    return fit(choice.version);
  } catch (const graphql::RequestError&) {
    return fit(std::nullopt);
  }
}

Task<graphql::Response> Endpoint::execute(GraphqlRequest request, CancelToken cancel) {
  const auto choice = version_for(request);
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
  co_return co_await run(std::move(document), std::move(request), std::move(cancel));
}

Task<graphql::Response> Endpoint::run(Document document, GraphqlRequest request, CancelToken cancel) {
  const auto context = std::make_shared<Request>(services_, tasks_, document.version);
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
  if (const auto version = graphql::Version::parse(context->claimed_version))
    if (claimed_.size() < max_claims) claimed_[request.user_agent] = *version;
  co_return response;
}

}  // namespace dagger::session
