// core/session/services.h — what resolvers work with: one of each per session, and one Request per GraphQL request.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "core/graphql/version.h"
#include "core/session/host/host_files.h"
#include "core/session/id_store.h"
#include "core/session/pins.h"
#include "core/session/runner.h"
#include "core/session/secrets.h"

namespace dagger::session {

struct Services {
  Services(Loop& l, Pool& p, unsigned walk_threads, link::Peer& peer, const plugin::Registry& plugins, Client c)
      : loop(l),
        pool(p),
        client(std::move(c)),
        runner(l, p, peer),
        ids(runner),
        pins(l, runner),
        host(l, p, walk_threads, runner, client),
        secrets(l, p, plugins, client) {}

  Loop& loop;
  Pool& pool;  // for what blocks, or takes long
  const Client client;
  link::Info engine;  // set before the first request
  Runner runner;
  IdStore ids;
  Pins pins;
  HostFiles host;
  Secrets secrets;

  Task<void> join() {
    co_await pins.join();
    co_await host.join();
    co_await secrets.join();
    co_await runner.join();
  }
};

// One GraphQL request. Its resolvers hold it; tasks outlives it.
struct Request {
  Request(Services& s, TaskGroup& t, std::optional<graphql::Version> v, bool all)
      : services(s), tasks(t), version(v), superset(all) {}
  Services& services;
  TaskGroup& tasks;
  // Of the client, exactly (a view stands for a range of versions); nothing: unknown.
  std::optional<graphql::Version> version;
  bool superset;  // the schema it sees is all of the schema, not that of its version
  CancelSource cancel;
  std::string claimed_version;  // what the client said about itself by checkVersionCompatibility
  bool asked_version = false;   // it asked for that of the engine
};

}  // namespace dagger::session
