// plugins/common/oci-registry/http.h — HTTP requests whose answers are read like a stream, over libcurl's multi
// interface.
//
// HttpClient [thread-safe] owns idle channels (a curl multi handle with its open connections); a transfer borrows one
// and gives it back, so connections are used again by whichever thread comes next. HttpResponse belongs to one thread.
// Waits end within a poll when ctx is cancelled. Errors: cancelled; unavailable with host:port and the reason (also
// when nothing arrives for the stall time while this side waits); permission_denied for a certificate that is not
// trusted.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dagger/plugin/plugin.h"

namespace dagger::oci {

struct HttpTimeouts {
  std::chrono::milliseconds connect{10'000};
  std::chrono::milliseconds stall{30'000};
};

struct HttpRequest {
  std::string method = "GET";  // GET, HEAD, POST
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string authorization;         // value of the header; dropped when a redirect leaves the origin
  std::string body;                  // of a POST, application/x-www-form-urlencoded
  std::string ca_file;               // trusted besides the system's; "" for none
};

// "host[:port]" of an absolute URL, for messages and for telling origins apart; "" when it is not one.
std::string host_of(const std::string& url);
bool same_origin(const std::string& a, const std::string& b);

class HttpResponse {
 public:
  HttpResponse(HttpResponse&&) noexcept;
  ~HttpResponse();
  int status() const noexcept;
  // The last header of that name (given in lower case), or "".
  std::string_view header(std::string_view name) const noexcept;
  const std::vector<std::pair<std::string, std::string>>& headers() const noexcept;
  const std::string& url() const noexcept;  // after redirects
  // Up to size bytes of the body; 0 at its end. Throws unavailable when the connection is cut; what arrived before is
  // returned first.
  std::size_t read(void* buffer, std::size_t size);
  // The rest of the body. Throws corrupt_data when it is longer than limit.
  std::string read_all(std::size_t limit);
  // The start of the body as text for a message; leaves the connection usable where the body is short.
  std::string read_error_text() noexcept;

 private:
  friend class HttpClient;
  class Transfer;
  explicit HttpResponse(std::unique_ptr<Transfer> t);
  std::unique_ptr<Transfer> transfer_;
};

class HttpClient {
 public:
  explicit HttpClient(HttpTimeouts timeouts = {});
  ~HttpClient();
  // Returns when the final answer's headers are there. Follows redirects of GET and HEAD, never from https to http.
  // ctx must outlive the response.
  HttpResponse send(const HttpRequest& request, plugin::CallContext& ctx);

 private:
  friend class HttpResponse;
  struct Channel;
  std::unique_ptr<Channel> borrow(const std::string& host);
  void give_back(std::unique_ptr<Channel> channel) noexcept;

  HttpTimeouts timeouts_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Channel>> idle_;  // the most recently used last
};

}  // namespace dagger::oci
