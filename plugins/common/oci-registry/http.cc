#include "plugins/common/oci-registry/http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "plugins/common/oci-registry/reference.h"

namespace dagger::oci {
namespace {

constexpr std::size_t max_header_bytes = 256 << 10;
constexpr std::size_t max_waiting_bytes = 512 << 10;  // received but not asked for yet
constexpr std::size_t max_idle_channels = 16;
constexpr int max_redirects = 8;
constexpr const char* user_agent = "User-Agent: dagger-engine/0.1";

struct EasyFree {
  void operator()(CURL* e) const noexcept { curl_easy_cleanup(e); }
};
struct MultiFree {
  void operator()(CURLM* m) const noexcept { curl_multi_cleanup(m); }
};
struct ListFree {
  void operator()(curl_slist* l) const noexcept { curl_slist_free_all(l); }
};
struct UrlFree {
  void operator()(CURLU* u) const noexcept { curl_url_cleanup(u); }
};
using Url = std::unique_ptr<CURLU, UrlFree>;

Url parse_url(const std::string& text) {
  Url url(curl_url());
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return nullptr;
  return url;
}

std::string part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (url == nullptr || curl_url_get(url, which, &text, flags) != CURLUE_OK) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

std::string scheme_of(const std::string& url) { return part(parse_url(url).get(), CURLUPART_SCHEME); }

std::string resolve_url(const std::string& base, const std::string& location) {
  const Url url = parse_url(base);
  if (!url || curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) return {};
  return part(url.get(), CURLUPART_URL);
}

std::string trimmed(std::string_view s) {
  while (!s.empty() && std::strchr(" \t\r\n", s.front()) != nullptr) s.remove_prefix(1);
  while (!s.empty() && std::strchr(" \t\r\n", s.back()) != nullptr) s.remove_suffix(1);
  return std::string(s);
}

// curl makes sockets without O_CLOEXEC unless asked.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* a) {
  return ::socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

// A multi handle has a socket pair of its own for wake-ups, made without O_CLOEXEC and not reachable through the
// interface. Every other fd of the engine has the flag, so setting it on whatever socket lacks it touches only those.
void set_cloexec_on_stray_sockets() noexcept {
  for (int fd = 3; fd < 1024; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0) continue;
    int domain = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX)
      ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  }
}

Error curl_error(CURLcode code, const char* detail, const std::string& url) {
  const std::string host = host_of(url);
  std::string reason = *detail != '\0' ? detail : curl_easy_strerror(code);
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return Error(Code::permission_denied, "the certificate of " + host + " is not trusted (" + reason +
                                                "); name its CA file in the setting registries.\"" + host + "\".ca");
    case CURLE_SSL_CONNECT_ERROR:
      return Error(Code::unavailable, "cannot reach " + host + " by https (" + reason +
                                          "); if it serves plain http, set registries.\"" + host + "\".plain_http");
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
      return Error(Code::unavailable, "the connection to " + host + " broke: " + reason);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return Error(Code::invalid_argument, "bad address " + host + ": " + reason);
    default:
      return Error(Code::unavailable, "cannot reach " + host + ": " + reason);
  }
}

}  // namespace

std::string host_of(const std::string& url) {
  const Url u = parse_url(url);
  const std::string host = part(u.get(), CURLUPART_HOST), port = part(u.get(), CURLUPART_PORT);
  return port.empty() ? host : host + ":" + port;
}

bool same_origin(const std::string& a, const std::string& b) {
  const Url x = parse_url(a), y = parse_url(b);
  if (!x || !y) return false;
  const auto equal = [&](CURLUPart p) {
    return part(x.get(), p, CURLU_DEFAULT_PORT) == part(y.get(), p, CURLU_DEFAULT_PORT);
  };
  return equal(CURLUPART_SCHEME) && equal(CURLUPART_HOST) && equal(CURLUPART_PORT);
}

struct HttpClient::Channel {
  std::unique_ptr<CURLM, MultiFree> multi{curl_multi_init()};
  std::string host;  // the one it spoke with last
};

// One request and its answer on a borrowed channel.
class HttpResponse::Transfer {
 public:
  Transfer(HttpClient& client, const HttpRequest& request, plugin::CallContext& ctx)
      : client_(client), ctx_(ctx), url_(request.url), channel_(client.borrow(host_of(url_))) {
    set_up(request);
    if (curl_multi_add_handle(channel_->multi.get(), easy_.get()) != CURLM_OK)
      throw Error(Code::internal, "cannot start an HTTP request");
    added_ = true;
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() {
    if (added_) curl_multi_remove_handle(channel_->multi.get(), easy_.get());
    easy_.reset();
    client_.give_back(std::move(channel_));
  }

  void wait_for_headers() {
    while (!headers_done_ && !result_) step();
    if (!headers_done_) throw_result();
  }

  std::size_t read(void* buffer, std::size_t size) {
    if (size == 0) return 0;
    into_ = static_cast<char*>(buffer), room_ = size;
    take_waiting();
    while (room_ == size && !result_) step();
    into_ = nullptr;
    const std::size_t got = size - std::exchange(room_, 0);
    if (got == 0 && *result_ != CURLE_OK) throw_result();
    return got;
  }

  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  const std::string& url() const noexcept { return url_; }

 private:
  template <class T>
  void set(CURLoption option, T value) {
    if (curl_easy_setopt(easy_.get(), option, value) != CURLE_OK)
      throw Error(Code::internal, "cannot set option " + std::to_string(option) + " of an HTTP request");
  }

  void add_header(const std::string& line) {
    curl_slist* longer = curl_slist_append(list_.get(), line.c_str());
    if (longer == nullptr) throw Error(Code::no_space, "out of memory");
    (void)list_.release();
    list_.reset(longer);
  }

  void set_up(const HttpRequest& r) {
    if (!easy_ || !channel_->multi) throw Error(Code::no_space, "out of memory");
    set(CURLOPT_URL, url_.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // do not wait for a name server when a request is given up
    set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(client_.timeouts_.connect.count()));
    set(CURLOPT_BUFFERSIZE, 256L << 10);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    set(CURLOPT_HEADERDATA, this);
    if (is_loopback(host_of(url_))) set(CURLOPT_NOPROXY, "*");
    if (!r.ca_file.empty()) set(CURLOPT_CAINFO, r.ca_file.c_str());
    if (r.method == "HEAD") set(CURLOPT_NOBODY, 1L);
    if (r.method == "POST") {
      set(CURLOPT_POSTFIELDSIZE, static_cast<long>(r.body.size()));
      set(CURLOPT_COPYPOSTFIELDS, r.body.c_str());
    }
    add_header(user_agent);
    if (!r.authorization.empty()) add_header("Authorization: " + r.authorization);
    for (const auto& line : r.headers) add_header(line);
    set(CURLOPT_HTTPHEADER, list_.get());
  }

  // Lets curl work until something has changed. Throws cancelled and unavailable (stalled).
  void step() {
    const std::size_t before = seen_;
    const auto started = std::chrono::steady_clock::now();
    while (true) {
      if (ctx_.cancelled()) throw Error(Code::cancelled, "the request to " + host_of(url_) + " was cancelled");
      int running = 0;
      if (curl_multi_perform(channel_->multi.get(), &running) != CURLM_OK)
        throw Error(Code::internal, "the HTTP library failed");
      take_result();
      if (seen_ != before || result_) return;
      const auto left = client_.timeouts_.stall - (std::chrono::steady_clock::now() - started);
      if (left <= left.zero()) throw_stalled();
      wait(std::chrono::duration_cast<std::chrono::milliseconds>(left));
    }
  }

  void wait(std::chrono::milliseconds most) {
    curl_waitfd cancel{ctx_.cancel_fd(), CURL_WAIT_POLLIN, 0};
    const bool watched = cancel.fd >= 0;
    const auto slice = std::min(most, std::chrono::milliseconds(watched ? 1000 : 100));
    curl_multi_poll(channel_->multi.get(), watched ? &cancel : nullptr, watched ? 1U : 0U,
                    static_cast<int>(slice.count()) + 1, nullptr);
  }

  void take_result() {
    int left = 0;
    while (const CURLMsg* m = curl_multi_info_read(channel_->multi.get(), &left))
      if (m->msg == CURLMSG_DONE) result_ = m->data.result;
  }

  // Hands over what arrived while nobody was reading, then lets a paused connection go on.
  void take_waiting() {
    const std::size_t n = std::min(room_, waiting_.size() - waiting_begin_);
    std::memcpy(into_, waiting_.data() + waiting_begin_, n);
    into_ += n, room_ -= n, waiting_begin_ += n;
    if (waiting_begin_ != waiting_.size()) return;
    waiting_.clear(), waiting_begin_ = 0;
    if (std::exchange(paused_, false)) curl_easy_pause(easy_.get(), CURLPAUSE_CONT);
  }

  static std::size_t on_body(char* data, std::size_t one, std::size_t count, void* self) noexcept {
    return static_cast<Transfer*>(self)->body(data, one * count);
  }
  std::size_t body(const char* data, std::size_t size) noexcept try {
    if (waiting_.size() - waiting_begin_ > max_waiting_bytes) {
      paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    seen_ += size;
    const std::size_t n = std::min(room_, size);
    if (n > 0) std::memcpy(into_, data, n), into_ += n, room_ -= n;
    waiting_.append(data + n, size - n);
    return size;
  } catch (const std::exception&) {
    return 0;
  }

  static std::size_t on_header(char* data, std::size_t one, std::size_t count, void* self) noexcept {
    return static_cast<Transfer*>(self)->header_line(std::string_view(data, one * count));
  }
  std::size_t header_line(std::string_view line) noexcept try {
    ++seen_;
    header_bytes_ += line.size();
    if (header_bytes_ > max_header_bytes) return 0;
    if (line.substr(0, 5) == "HTTP/") {
      headers.clear();
      const auto space = line.find(' ');
      status = space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space + 1, 3)).c_str());
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
      std::string name(line.substr(0, colon));
      for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      headers.emplace_back(std::move(name), trimmed(line.substr(colon + 1)));
    } else if (trimmed(line).empty() && status >= 200) {
      headers_done_ = true;
    }
    return line.size();
  } catch (const std::exception&) {
    return 0;
  }

  [[noreturn]] void throw_result() const {
    if (result_ == CURLE_OK) throw Error(Code::unavailable, host_of(url_) + " ended the connection without an answer");
    throw curl_error(*result_, error_, url_);
  }
  [[noreturn]] void throw_stalled() const {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(client_.timeouts_.stall).count();
    throw Error(Code::unavailable, host_of(url_) + " sent nothing for " + std::to_string(seconds) + " s");
  }

  HttpClient& client_;
  plugin::CallContext& ctx_;
  std::string url_;
  std::unique_ptr<HttpClient::Channel> channel_;
  std::unique_ptr<curl_slist, ListFree> list_;
  std::unique_ptr<CURL, EasyFree> easy_{curl_easy_init()};
  bool added_ = false, headers_done_ = false, paused_ = false;
  std::optional<CURLcode> result_;
  char error_[CURL_ERROR_SIZE] = {};
  std::size_t seen_ = 0, header_bytes_ = 0;
  char* into_ = nullptr;  // where the body goes while somebody reads
  std::size_t room_ = 0;
  std::string waiting_;
  std::size_t waiting_begin_ = 0;
};

HttpResponse::HttpResponse(std::unique_ptr<Transfer> t) : transfer_(std::move(t)) {}
HttpResponse::HttpResponse(HttpResponse&&) noexcept = default;
HttpResponse::~HttpResponse() = default;
int HttpResponse::status() const noexcept { return transfer_->status; }
const std::string& HttpResponse::url() const noexcept { return transfer_->url(); }
const std::vector<std::pair<std::string, std::string>>& HttpResponse::headers() const noexcept {
  return transfer_->headers;
}

std::string_view HttpResponse::header(std::string_view name) const noexcept {
  const auto& all = transfer_->headers;
  const auto found = std::find_if(all.rbegin(), all.rend(), [&](const auto& h) { return h.first == name; });
  return found == all.rend() ? std::string_view() : std::string_view(found->second);
}

std::size_t HttpResponse::read(void* buffer, std::size_t size) { return transfer_->read(buffer, size); }

std::string HttpResponse::read_all(std::size_t limit) {
  std::string out;
  char buffer[16 << 10];
  while (const std::size_t n = read(buffer, sizeof buffer)) {
    if (out.size() + n > limit)
      throw Error(Code::corrupt_data,
                  "an answer of " + host_of(url()) + " is larger than " + std::to_string(limit) + " bytes");
    out.append(buffer, n);
  }
  return out;
}

std::string HttpResponse::read_error_text() noexcept try { return read_all(64 << 10); } catch (const std::exception&) {
  return {};
}

HttpClient::HttpClient(HttpTimeouts timeouts) : timeouts_(timeouts) {
  if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK) throw Error(Code::internal, "the HTTP library does not start");
}
HttpClient::~HttpClient() {
  idle_.clear();
  curl_global_cleanup();
}

std::unique_ptr<HttpClient::Channel> HttpClient::borrow(const std::string& host) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(idle_.rbegin(), idle_.rend(), [&](const auto& c) { return c->host == host; });
    if (found != idle_.rend()) {
      auto channel = std::move(*found);
      idle_.erase(std::next(found).base());
      return channel;
    }
  }
  auto channel = std::make_unique<Channel>();
  set_cloexec_on_stray_sockets();
  channel->host = host;
  return channel;
}

void HttpClient::give_back(std::unique_ptr<Channel> channel) noexcept try {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(channel));
  if (idle_.size() > max_idle_channels) idle_.erase(idle_.begin());
} catch (const std::exception&) {  // out of memory: the channel is closed instead
}

HttpResponse HttpClient::send(const HttpRequest& request, plugin::CallContext& ctx) {
  HttpRequest r = request;
  for (int hop = 0;; ++hop) {
    auto transfer = std::make_unique<HttpResponse::Transfer>(*this, r, ctx);
    transfer->wait_for_headers();
    HttpResponse response(std::move(transfer));
    const int s = response.status();
    const bool moved = s == 301 || s == 302 || s == 303 || s == 307 || s == 308;
    if (!moved || r.method == "POST" || response.header("location").empty()) return response;
    if (hop == max_redirects) throw Error(Code::unavailable, host_of(request.url) + " redirects without end");
    const std::string next = resolve_url(r.url, std::string(response.header("location")));
    const std::string scheme = scheme_of(next);
    if ((scheme != "http" && scheme != "https") || (scheme == "http" && scheme_of(r.url) == "https"))
      throw Error(Code::unavailable, host_of(r.url) + " redirects to an address that is not allowed: " + host_of(next));
    if (!same_origin(r.url, next)) r.authorization.clear();
    (void)response.read_error_text();
    r.url = next;
  }
}

}  // namespace dagger::oci
