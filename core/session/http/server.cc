#include "core/session/http/server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <list>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "core/base/fs.h"

namespace dagger::session {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::beast::flat_buffer;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

constexpr auto pause_without_fds = std::chrono::milliseconds(100);

std::string lower(std::string_view text) {
  std::string out(text);
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

HttpRequest plain(Parser::value_type&& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message)
    request.headers.emplace_back(lower(field.name_string()), std::string(field.value()));
  request.body = std::move(message.body());
  return request;
}

}  // namespace

class HttpServer::State {
 public:
  State(Loop& loop, HttpOptions options, Handler handler)
      : loop_(loop),
        options_(std::move(options)),
        handler_(std::move(handler)),
        listener_(loop.io()),
        connections_(loop) {}

  std::uint16_t listen(std::uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    const int on = 1;
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::bind(fd.get(), generic, size) != 0 || ::listen(fd.get(), SOMAXCONN) != 0 ||
        ::getsockname(fd.get(), generic, &size) != 0)
      throw_errno("listen on 127.0.0.1:" + std::to_string(port));
    listener_.assign(fd.release());
    accept_next();
    return ntohs(address.sin_port);
  }

  Task<void> stop() {
    stopping_ = true;
    error_code ignored;
    listener_.close(ignored);
    for (auto& connection : open_) {
      connection.cancel.request("the session ends");
      connection.socket.close(ignored);
    }
    co_await connections_.join();
  }

 private:
  struct Connection {
    explicit Connection(asio::io_context& io) : socket(io) {}
    asio::ip::tcp::socket socket;
    flat_buffer buffer;
    CancelSource cancel;    // of the request that runs
    Loop::Handle deadline;  // until it has shown the token
  };

  void accept_next() {
    if (stopping_) return;
    listener_.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code error) {
      if (error || stopping_) return;
      accept_ready();
    });
  }

  // Accepts by hand, because the sockets must not leak into children.
  void accept_ready() {
    while (open_.size() < options_.connections) {
      UniqueFd fd(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) return accept_later();
      if (!fd && errno == ECONNABORTED) continue;
      if (!fd) break;
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto& connection = open_.emplace_back(loop_.io());
      connection.socket.assign(asio::ip::tcp::v4(), fd.release());
      connection.deadline = loop_.after(options_.authorize_within, [&connection] {
        error_code ignored;
        connection.socket.close(ignored);
      });
      connections_.spawn(serve(std::prev(open_.end())));
    }
    if (open_.size() < options_.connections) accept_next();
  }
  void accept_later() {
    retry_ = loop_.after(pause_without_fds, [this] { accept_next(); });
  }

  Task<void> serve(std::list<Connection>::iterator connection) {
    try {
      while (co_await serve_one(*connection)) {
      }
    } catch (const std::exception&) {  // the connection is broken; nobody is left to tell
    }
    error_code ignored;
    connection->socket.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    const bool was_full = open_.size() == options_.connections;
    open_.erase(connection);
    if (was_full) accept_next();
  }

  // One request; whether another may follow.
  Task<bool> serve_one(Connection& connection) {
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(options_.header_bytes));
    parser.body_limit(options_.body_bytes);
    auto error = co_await read_header(connection, parser);
    if (error) co_return co_await refuse(connection, error);
    if (!authorized(parser.get()[http::field::authorization], options_.token)) {
      const bool more = parser.is_done() && parser.get().keep_alive();
      co_return co_await write(connection, unauthorized(), more);
    }
    connection.deadline.cancel();
    if (parser.get()[http::field::expect] == "100-continue" && co_await write_continue(connection)) co_return false;
    error = co_await read_body(connection, parser);
    if (error) co_return co_await refuse(connection, error);
    const bool keep_alive = parser.get().keep_alive();
    auto response = co_await answer(connection, plain(parser.release()));
    co_return co_await write(connection, std::move(response), keep_alive);
  }

  Task<HttpResponse> answer(Connection& connection, HttpRequest request) {
    connection.cancel = CancelSource();
    OneShot<Unit> watched(loop_);
    connection.socket.async_wait(asio::ip::tcp::socket::wait_read, [&connection, watched](error_code error) {
      char byte = 0;
      if (!error && ::recv(connection.socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        connection.cancel.request("the client hung up");
      watched.set({});
    });
    HttpResponse response;
    std::exception_ptr failure;
    try {
      response = co_await handler_(std::move(request), connection.cancel.token());
    } catch (...) {
      failure = std::current_exception();
    }
    if (connection.socket.is_open()) connection.socket.cancel();
    co_await watched;
    if (failure) std::rethrow_exception(failure);
    co_return response;
  }

  Task<error_code> read_header(Connection& connection, Parser& parser) {
    OneShot<error_code> done(loop_);
    http::async_read_header(connection.socket, connection.buffer, parser,
                            [done](error_code error, std::size_t) { done.set(error); });
    co_return co_await done;
  }
  Task<error_code> read_body(Connection& connection, Parser& parser) {
    if (parser.is_done()) co_return error_code();
    OneShot<error_code> done(loop_);
    http::async_read(connection.socket, connection.buffer, parser,
                     [done](error_code error, std::size_t) { done.set(error); });
    co_return co_await done;
  }
  Task<bool> write_continue(Connection& connection) {
    http::response<http::empty_body> message(http::status::continue_, 11);
    OneShot<error_code> done(loop_);
    http::async_write(connection.socket, message, [done](error_code error, std::size_t) { done.set(error); });
    const auto error = co_await done;
    co_return static_cast<bool>(error);
  }
  Task<bool> write(Connection& connection, HttpResponse response, bool keep_alive) {
    http::response<http::string_body> message(http::int_to_status(response.status), 11);
    for (const auto& [name, value] : response.headers) message.set(name, value);
    if (!options_.server_header.empty()) message.set("x-dagger-engine", options_.server_header);
    if (!response.content_type.empty()) message.set(http::field::content_type, response.content_type);
    message.body() = std::move(response.body);
    message.keep_alive(keep_alive);
    message.prepare_payload();
    OneShot<error_code> done(loop_);
    http::async_write(connection.socket, message, [done](error_code error, std::size_t) { done.set(error); });
    const auto error = co_await done;
    co_return keep_alive && !error;
  }
  // What cannot be read as a request: an answer where one makes sense, and the end of the connection.
  Task<bool> refuse(Connection& connection, error_code error) {
    if (error == http::error::body_limit)
      co_return co_await write(connection, error_response("", HttpError(413, "the request is too large")), false);
    if (error == http::error::header_limit)
      co_return co_await write(connection, error_response("", HttpError(431, "the request's header is too large")),
                               false);
    if (error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message)
      co_return co_await write(connection, error_response("", HttpError(400, "this is no HTTP request")), false);
    co_return false;
  }

  Loop& loop_;
  HttpOptions options_;
  Handler handler_;
  asio::posix::stream_descriptor listener_;
  Loop::Handle retry_;
  std::list<Connection> open_;
  bool stopping_ = false;
  TaskGroup connections_;
};

HttpServer::HttpServer(Loop& loop, HttpOptions options, Handler handler)
    : state_(std::make_unique<State>(loop, std::move(options), std::move(handler))) {}
HttpServer::~HttpServer() = default;
std::uint16_t HttpServer::listen(std::uint16_t port) { return state_->listen(port); }
Task<void> HttpServer::stop() { return state_->stop(); }

}  // namespace dagger::session
