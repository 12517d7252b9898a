#include "download.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <exception>
#include <memory>

#include "errors.h"

namespace source_archive {
namespace {

using dagger::Code;
using dagger::Error;
using dagger::plugin::CallContext;

constexpr long max_redirects = 8;
constexpr std::size_t max_header_bytes = 256 << 10;
constexpr std::size_t max_etag = 1024;
constexpr std::int64_t progress_step = 1 << 20;

struct EasyFree {
  void operator()(CURL* e) const noexcept { curl_easy_cleanup(e); }
};
struct MultiFree {
  void operator()(CURLM* m) const noexcept { curl_multi_cleanup(m); }
};
struct ListFree {
  void operator()(curl_slist* l) const noexcept { curl_slist_free_all(l); }
};

curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* a) {
  return ::socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

// curl wakes itself through socket pairs that it makes without O_CLOEXEC and shows to nobody. As every other fd of the
// process has the flag, those without it are curl's.
void close_wakeup_sockets_on_exec() noexcept {
  for (int fd = 3; fd < 1024; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0) continue;
    int domain = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX)
      ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  }
}

class Transfer {
 public:
  Transfer(const Reference& ref, Spool& spool, CallContext& ctx) : ref_(ref), spool_(spool), ctx_(ctx) {
    if (!easy_ || !multi_) throw Error(Code::no_space, ref_.name() + ": out of memory");
    close_wakeup_sockets_on_exec();
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() { curl_multi_remove_handle(multi_.get(), easy_.get()); }

  Answer run(const std::string& known_etag, const Timeouts& timeouts) {
    set_up(known_etag, timeouts);
    if (curl_multi_add_handle(multi_.get(), easy_.get()) != CURLM_OK) throw_library();
    for (int running = 1; running != 0;) {
      if (ctx_.cancelled()) throw Error(Code::cancelled, ref_.name() + ": cancelled");
      if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) throw_library();
      if (std::exchange(resolving_, false)) close_wakeup_sockets_on_exec();
      if (failure_) std::rethrow_exception(failure_);
      if (running != 0) wait();
    }
    check_result();
    ctx_.progress("download " + ref_.name(), spool_.size(), spool_.size());
    return {status() == 304, etag()};
  }

 private:
  template <class T>
  void set(CURLoption option, T value) {
    if (curl_easy_setopt(easy_.get(), option, value) != CURLE_OK) throw_library();
  }

  void set_up(const std::string& known_etag, const Timeouts& timeouts) {
    const bool secure = ref_.url.compare(0, 8, "https://") == 0;
    set(CURLOPT_URL, ref_.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, max_redirects);
    set(CURLOPT_FAILONERROR, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // a slow name server holds up nobody who gives up
    set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
    set(CURLOPT_RESOLVER_START_FUNCTION, &Transfer::on_resolve);
    set(CURLOPT_RESOLVER_START_DATA, this);
    set(CURLOPT_CONNECTTIMEOUT, timeouts.connect);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, timeouts.stall);
    set(CURLOPT_TIMEOUT, timeouts.total);
    set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(spool_.limit()));
    set(CURLOPT_BUFFERSIZE, 256L << 10);
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_USERAGENT, "dagger-source-archive/1.0");
    set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    set(CURLOPT_HEADERDATA, this);
    if (known_etag.empty()) return;
    headers_.reset(curl_slist_append(nullptr, ("If-None-Match: " + known_etag).c_str()));
    if (!headers_) throw Error(Code::no_space, ref_.name() + ": out of memory");
    set(CURLOPT_HTTPHEADER, headers_.get());
  }

  void wait() {
    curl_waitfd cancel{ctx_.cancel_fd(), CURL_WAIT_POLLIN, 0};
    const bool watched = cancel.fd >= 0;
    curl_multi_poll(multi_.get(), watched ? &cancel : nullptr, watched ? 1U : 0U, watched ? 1000 : 100, nullptr);
  }

  void check_result() {
    CURLcode code = CURLE_OK;
    int left = 0;
    while (const CURLMsg* m = curl_multi_info_read(multi_.get(), &left))
      if (m->msg == CURLMSG_DONE) code = m->data.result;
    if (code == CURLE_HTTP_RETURNED_ERROR || (code == CURLE_OK && status() != 200 && status() != 304)) throw_status();
    if (code != CURLE_OK) throw_curl(code);
  }

  [[noreturn]] void throw_status() const {
    const long s = status();
    const std::string answered = ref_.name() + ": the server answers " + std::to_string(s);
    if (s == 404 || s == 410) throw Error(Code::not_found, answered + "; check the URL");
    if (s == 401 || s == 403)
      throw Error(Code::permission_denied, answered + "; this source sends no logins: serve the archive without one");
    if (s == 408 || s == 429 || s >= 500) throw Error(Code::unavailable, answered + "; try again later");
    throw Error(Code::invalid_argument, answered + ", which is no archive");
  }

  [[noreturn]] void throw_curl(CURLcode code) const {
    const std::string why = ref_.name() + ": " + shown(error_[0] != '\0' ? error_ : curl_easy_strerror(code));
    switch (code) {
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
        throw Error(Code::permission_denied, why + "; install the server's CA on the runner's machine");
      case CURLE_FILESIZE_EXCEEDED:
        spool_.throw_too_large();
      case CURLE_UNSUPPORTED_PROTOCOL:
        throw Error(Code::permission_denied,
                    why + "; a redirect may lead to https, or from http to http, nowhere else");
      case CURLE_TOO_MANY_REDIRECTS:
        throw Error(Code::invalid_argument, why + "; name the URL at their end");
      case CURLE_URL_MALFORMAT:
        throw Error(Code::invalid_argument, why);
      default:
        throw Error(Code::unavailable, why);
    }
  }
  [[noreturn]] void throw_library() const { throw Error(Code::internal, ref_.name() + ": the HTTP library fails"); }

  long status() const {
    long code = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &code);
    return code;
  }

  // Of the last of several answers, if it can be sent back as it is.
  std::string etag() const {
    curl_header* header = nullptr;
    if (curl_easy_header(easy_.get(), "etag", 0, CURLH_HEADER, -1, &header) != CURLHE_OK) return {};
    std::string value(header->value);
    for (const char c : value)
      if (c < ' ' || c > '~') return {};
    return value.size() <= max_etag ? value : std::string();
  }

  // curl calls these; an exception may not pass through it, so it waits in failure_.
  template <class F>
  std::size_t kept(std::size_t size, F&& work) noexcept {
    try {
      work();
      return size;
    } catch (...) {
      failure_ = std::current_exception();
      return size + 1;  // anything but size makes curl stop
    }
  }
  static std::size_t on_body(char* data, std::size_t one, std::size_t count, void* self) noexcept {
    return static_cast<Transfer*>(self)->body(data, one * count);
  }
  static std::size_t on_header(char*, std::size_t one, std::size_t count, void* self) noexcept {
    return static_cast<Transfer*>(self)->header(one * count);
  }
  static int on_resolve(void*, void*, void* self) noexcept {
    static_cast<Transfer*>(self)->resolving_ = true;
    return 0;
  }
  std::size_t body(const char* data, std::size_t size) noexcept {
    return kept(size, [&] {
      spool_.write(data, size);
      if (spool_.size() - told_ < progress_step) return;
      told_ = spool_.size();
      curl_off_t total = -1;
      curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total);
      ctx_.progress("download " + ref_.name(), told_, total);
    });
  }
  std::size_t header(std::size_t size) noexcept {
    return kept(size, [&] {
      header_bytes_ += size;
      if (header_bytes_ > max_header_bytes)
        throw Error(Code::invalid_argument, ref_.name() + ": the server's headers have no end");
    });
  }

  const Reference& ref_;
  Spool& spool_;
  CallContext& ctx_;
  std::unique_ptr<CURLM, MultiFree> multi_{curl_multi_init()};
  std::unique_ptr<curl_slist, ListFree> headers_;
  std::exception_ptr failure_;
  bool resolving_ = false;
  std::size_t header_bytes_ = 0;
  std::int64_t told_ = 0;
  char error_[CURL_ERROR_SIZE] = {};
  std::unique_ptr<CURL, EasyFree> easy_{curl_easy_init()};  // last: it refers to what is above
};

}  // namespace

CurlLibrary::CurlLibrary() {
  if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
    throw Error(Code::unsupported, "libcurl does not start; is it the one of this system?");
}
CurlLibrary::~CurlLibrary() { curl_global_cleanup(); }

Answer download(const Reference& ref, const std::string& known_etag, const Timeouts& timeouts, Spool& spool,
                CallContext& ctx) {
  return Transfer(ref, spool, ctx).run(known_etag, timeouts);
}

}  // namespace source_archive
