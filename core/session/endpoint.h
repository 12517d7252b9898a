// core/session/endpoint.h — a GraphQL request in, a response out: schema views, resolvers and execution put together.
//
// Control thread; parsing and validation run on the pool. The task group must be joined before the endpoint goes.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/graphql/execute.h"
#include "core/session/services.h"

namespace dagger::session {

struct GraphqlRequest {
  std::string query, operation_name;
  graphql::Value variables;
  std::optional<graphql::Version> version;  // said with this request
  std::string user_agent, host;
  bool traced = false;  // it has a traceparent
};

class Endpoint {
 public:
  Endpoint(Services& services, Pool& pool, TaskGroup& tasks);

  // Throws Error{cancelled}; everything else is a response.
  Task<graphql::Response> execute(GraphqlRequest request, CancelToken cancel);
  // What a start-up check finds: fields without a resolver and the like. Slow: builds every view.
  std::vector<std::string> problems();

 private:
  struct Choice {
    std::optional<graphql::Version> version;
    bool guessed = false;  // then a document that fits the superset only is taken as well
  };
  struct Document {
    std::shared_ptr<const graphql::Prepared> prepared;
    bool superset = false;  // what it was prepared for, instead of the view of the client's version
  };
  Choice version_for(const GraphqlRequest& request) const;
  Document prepare(const std::string& text, const Choice& choice);
  void learn(const std::string& user_agent, const Request& request);
  Task<graphql::Response> run(Document document, std::shared_ptr<Request> context, GraphqlRequest request,
                              CancelToken cancel);

  Services& services_;
  Pool& pool_;
  TaskGroup& tasks_;
  graphql::Resolvers resolvers_;
  std::mutex schema_mutex_;  // views are made on first use, by whichever pool thread needs one
  graphql::Schema schema_;
  std::map<std::string, graphql::Version> claimed_;  // by User-Agent: what earlier requests told
};

}  // namespace dagger::session
