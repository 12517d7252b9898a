// tests/unit/plugins/oci_test_registry.h — a registry on loopback that answers as a test scripts it and logs each
// request.
//
// One thread accepts, one per connection answers; all end in the destructor. Content and script are set before use, or
// under the lock through the methods here.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dagger/plugin/error.h"
#include "dagger/plugin/unique_fd.h"
#include "plugins/common/base/base64.h"
#include "plugins/common/base/sha256.h"
#include "plugins/common/oci-registry/headers.h"

namespace dagger::testing {

struct HttpRequestSeen {
  std::string method, path;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct HttpReply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::size_t send = std::string::npos;  // of the body; then the connection is cut
  bool stall = false;                    // instead of cutting: say nothing more until the server ends
};

class TestServer {
 public:
  using Handler = std::function<HttpReply(const HttpRequestSeen&)>;

  explicit TestServer(Handler handler) : handler_(std::move(handler)) {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in a{};
    a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    auto* address = reinterpret_cast<sockaddr*>(&a);
    if (::bind(listener_.get(), address, size) != 0 || ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), address, &size) != 0)
      throw Error(Code::internal, "the test server cannot listen");
    port_ = ntohs(a.sin_port);
    accepter_ = std::thread([this] { accept_all(); });
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;
  ~TestServer() { stop(); }

  // Ends it; its address then refuses connections.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(stopping_, true)) return;
      ::shutdown(listener_.get(), SHUT_RDWR);
      for (auto& c : connections_) ::shutdown(c.fd.get(), SHUT_RDWR);
    }
    changed_.notify_all();
    accepter_.join();
    for (auto& c : connections_) c.thread.join();
    listener_.reset();
  }

  std::string address(const std::string& host = "127.0.0.1") const { return host + ":" + std::to_string(port_); }
  std::vector<HttpRequestSeen> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::size_t count(const std::string& method, const std::string& part) const {
    std::size_t n = 0;
    for (const auto& r : requests()) n += r.method == method && r.path.find(part) != std::string::npos;
    return n;
  }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return connections_.size();
  }
  void wait_for_stall() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stalled_ > 0; });
  }

 private:
  struct Connection {
    UniqueFd fd;
    std::thread thread;
  };

  void accept_all() {
    while (true) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const std::lock_guard lock(mutex_);
      if (!fd || stopping_) return;
      Connection& c = connections_.emplace_back();
      c.fd = std::move(fd);
      c.thread = std::thread([this, raw = c.fd.get()] { serve(raw); });
    }
  }

  void serve(int fd) {
    std::string input;
    HttpRequestSeen r;
    while (read_request(fd, input, r)) {
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(r);
      }
      if (!answer(fd, r, handler_(r))) break;
    }
    ::shutdown(fd, SHUT_RDWR);
  }

  static bool fill(int fd, std::string& input) {
    char buffer[4096];
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n > 0) input.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }

  static bool read_request(int fd, std::string& input, HttpRequestSeen& r) {
    std::size_t end = 0;
    while ((end = input.find("\r\n\r\n")) == std::string::npos)
      if (!fill(fd, input)) return false;
    r = {};
    const std::string head = input.substr(0, end + 2);
    input.erase(0, end + 4);
    const auto space = head.find(' ');
    r.method = head.substr(0, space), r.path = head.substr(space + 1, head.find(' ', space + 1) - space - 1);
    for (auto at = head.find("\r\n") + 2; at < head.size();) {
      const auto eol = head.find("\r\n", at), colon = head.find(": ", at);
      std::string name = head.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      r.headers[name] = head.substr(colon + 2, eol - colon - 2);
      at = eol + 2;
    }
    const std::size_t length = r.header("content-length").empty() ? 0 : std::stoul(r.header("content-length"));
    while (input.size() < length)
      if (!fill(fd, input)) return false;
    r.body = input.substr(0, length);
    input.erase(0, length);
    return true;
  }

  bool answer(int fd, const HttpRequestSeen& r, const HttpReply& reply) {
    std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " x\r\n";
    for (const auto& [name, value] : reply.headers) out += name + ": " + value + "\r\n";
    out += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n\r\n";
    if (r.method != "HEAD") out += reply.body.substr(0, reply.send);
    for (std::string_view rest = out; !rest.empty();) {
      const ssize_t n = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    if (reply.stall) {
      std::unique_lock lock(mutex_);
      ++stalled_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return stopping_; });
    }
    return reply.send >= reply.body.size();
  }

  Handler handler_;
  UniqueFd listener_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  int stalled_ = 0;
  std::list<Connection> connections_;
  std::vector<HttpRequestSeen> requests_;
  std::thread accepter_;
};

// Manifests and blobs, behind Basic or Bearer authorization if told so. script sees every request first and may answer.
class TestRegistry {
 public:
  enum class Auth { none, basic, bearer };
  Auth auth = Auth::none;
  std::string user, password;                    // with "" a bearer token is given to anybody
  std::map<std::string, std::string> manifests;  // "repo/tag-or-digest"
  std::map<std::string, std::string> blobs;
  std::string manifest_type = "application/vnd.oci.image.manifest.v1+json";
  bool ranges = true;
  std::function<std::optional<HttpReply>(const HttpRequestSeen&)> script;
  TestServer server{[this](const HttpRequestSeen& r) { return handle(r); }};

  std::string address() const { return server.address(); }
  std::string add_blob(const std::string& bytes) {
    const std::string digest = plugin_base::sha256_digest(bytes);
    blobs[digest] = bytes;
    return digest;
  }
  std::string add_manifest(const std::string& repository, const std::string& tag, const std::string& bytes) {
    const std::string digest = plugin_base::sha256_digest(bytes);
    manifests[repository + "/" + digest] = bytes;
    if (!tag.empty()) manifests[repository + "/" + tag] = bytes;
    return digest;
  }

  HttpReply blob_reply(const HttpRequestSeen& r, const std::string& bytes) const {
    const std::string range = r.header("range");
    if (!ranges || range.empty()) return {200, {}, bytes};
    const std::size_t first = std::stoul(range.substr(sizeof("bytes=") - 1));
    const std::string place =
        "bytes " + std::to_string(first) + "-" + std::to_string(bytes.size() - 1) + "/" + std::to_string(bytes.size());
    return {206, {{"Content-Range", place}}, bytes.substr(first)};
  }

 private:
  HttpReply handle(const HttpRequestSeen& r) {
    if (script)
      if (auto reply = script(r)) return *reply;
    const std::string basic = "Basic " + encoded();
    if (r.path.rfind("/token?", 0) == 0) {
      if (!user.empty() && r.header("authorization") != basic) return {401, {}, "{}"};
      return {200, {}, R"({"token":"good-token","expires_in":300})"};
    }
    if (auth == Auth::basic && r.header("authorization") != basic)
      return {401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, "{}"};
    if (auth == Auth::bearer && r.header("authorization") != "Bearer good-token") {
      const std::string realm =
          "Bearer realm=\"http://" + address() + "/token\",service=\"s\",scope=\"repository:a:pull\"";
      return {401, {{"WWW-Authenticate", realm}}, "{}"};
    }
    const std::string path = r.path.substr(sizeof("/v2/") - 1);
    if (const auto at = path.find("/manifests/"); at != std::string::npos) {
      const auto found = manifests.find(path.substr(0, at) + "/" + path.substr(at + sizeof("/manifests/") - 1));
      if (found != manifests.end())
        return {200,
                {{"Content-Type", manifest_type}, {"Docker-Content-Digest", plugin_base::sha256_digest(found->second)}},
                found->second};
    }
    if (const auto at = path.find("/blobs/"); at != std::string::npos) {
      const auto found = blobs.find(path.substr(at + sizeof("/blobs/") - 1));
      if (found != blobs.end()) return blob_reply(r, found->second);
    }
    return {404, {}, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"};
  }
  std::string encoded() const { return plugin_base::base64(user + ":" + password); }
};

}  // namespace dagger::testing
