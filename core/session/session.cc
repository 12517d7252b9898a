#include "core/session/session.h"

#include <sys/random.h>

#include "core/base/fs.h"
#include "core/session/credentials.h"
#include "core/session/endpoint.h"
#include "core/session/http/server.h"

namespace dagger::session {

std::string random_token() {
  std::string bytes(16, '\0');
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) throw_errno("get random bytes");
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);  // the form of a random UUID
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  auto hex = to_hex(bytes);
  for (const std::size_t at : {8U, 13U, 18U, 23U}) hex.insert(at, 1, '-');
  return hex;
}

class Session::State {
 public:
  State(Loop& loop, Pool& files, Pool& requests, Spawner& spawner, const plugin::Registry& plugins,
        std::unique_ptr<link::Peer> peer, SessionOptions options, Function<void(std::string)> on_events)
      : loop_(loop),
        files_(files),
        requests_(requests),
        spawner_(spawner),
        peer_(std::move(peer)),
        on_events_(std::move(on_events)),
        port_(options.port),
        token_(options.token.empty() ? random_token() : std::move(options.token)),
        services_(loop, files, options.walk_threads, *peer_, plugins, std::move(options.client)),
        tasks_(loop) {
    serve_runner();
    services_.host.show([this](const link::Events& events) {
      if (on_events_) on_events_(cbor::pack(events));
    });
    peer_->start();
  }

  Task<std::uint16_t> start(CancelToken cancel) {
    auto read_schema = [this] { endpoint_ = std::make_unique<Endpoint>(services_, requests_, tasks_); };
    co_await on_pool(loop_, requests_, std::ref(read_schema));
    services_.engine = co_await services_.runner.info(std::move(cancel));
    HttpOptions options;
    options.token = token_;
    options.server_header = services_.engine.version;
    http_ = std::make_unique<HttpServer>(loop_, std::move(options), [this](HttpRequest request, CancelToken token) {
      return answer(std::move(request), std::move(token));
    });
    co_return http_->listen(port_);
  }

  Task<void> stop() {
    if (http_) co_await http_->stop();
    co_await peer_->join();
    co_await tasks_.join();
    co_await services_.join();
  }

  const std::string& token() const { return token_; }
  const link::Info& engine() const { return services_.engine; }

 private:
  // What the runner asks of this side.
  void serve_runner() {
    peer_->serve(link::method::secret, [this](std::string request, CancelToken cancel) {
      return secret(std::move(request), std::move(cancel));
    });
    peer_->serve(link::method::credentials, [this](std::string request, CancelToken cancel) {
      return credentials(std::move(request), std::move(cancel));
    });
    const auto serve = [this](const char* method,
                              void (HostFiles::*send)(const link::LocalRequest&, std::shared_ptr<link::Stream>)) {
      peer_->serve_stream(method, [this, send](std::string request, std::shared_ptr<link::Stream> stream, CancelToken) {
        try {
          (services_.host.*send)(cbor::unpack<link::LocalRequest>(request), stream);
        } catch (const Error& error) {
          stream->reset(error);
        }
      });
    };
    serve(link::method::local_nodes, &HostFiles::serve_nodes);
    serve(link::method::local_contents, &HostFiles::serve_contents);
    peer_->serve_notify(link::method::events, [this](std::string message) {
      if (on_events_) on_events_(std::move(message));
    });
  }

  Task<std::string> secret(std::string request, CancelToken cancel) {
    auto name = cbor::unpack<link::Name>(request).name;
    link::Bytes reply;
    reply.bytes = co_await services_.secrets.value(std::move(name), std::move(cancel));
    co_return cbor::pack(reply);
  }
  Task<std::string> credentials(std::string request, CancelToken cancel) {
    const auto realm = cbor::unpack<link::Name>(request).name;
    auto find = [&] { return find_credentials(services_.client, spawner_, realm, cancel); };
    const auto reply = co_await on_pool(loop_, files_, std::ref(find));
    co_return cbor::pack(reply);
  }

  Task<HttpResponse> answer(HttpRequest request, CancelToken cancel) {
    const std::string accept(request.header("accept"));
    GraphqlRequest query;
    HttpResponse refused;
    try {
      auto parse = [&] { return graphql_request(request); };
      query = co_await on_pool(loop_, requests_, std::ref(parse));
    } catch (const HttpError& error) {
      refused = error_response(accept, error);
    }
    if (!refused.body.empty()) co_return refused;
    const auto response = co_await endpoint_->execute(std::move(query), std::move(cancel));
    auto render = [&] { return graphql_response(accept, response); };
    if (response.is_short()) co_return render();
    co_return co_await on_pool(loop_, requests_, std::ref(render));
  }

  Loop& loop_;
  Pool& files_;
  Pool& requests_;
  Spawner& spawner_;
  std::unique_ptr<link::Peer> peer_;
  Function<void(std::string)> on_events_;
  std::uint16_t port_;
  std::string token_;
  Services services_;
  TaskGroup tasks_;  // resolvers
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<HttpServer> http_;
};

Session::Session(Loop& loop, Pool& files, Pool& requests, Spawner& spawner, const plugin::Registry& plugins,
                 std::unique_ptr<link::Peer> peer, SessionOptions options, Function<void(std::string)> on_events)
    : state_(std::make_unique<State>(loop, files, requests, spawner, plugins, std::move(peer), std::move(options),
                                     std::move(on_events))) {}
Session::~Session() = default;
Task<std::uint16_t> Session::start(CancelToken cancel) { return state_->start(std::move(cancel)); }
Task<void> Session::stop() { return state_->stop(); }
const std::string& Session::token() const { return state_->token(); }
const link::Info& Session::engine() const { return state_->engine(); }

}  // namespace dagger::session
