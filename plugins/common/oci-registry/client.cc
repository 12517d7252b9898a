#include "plugins/common/oci-registry/client.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "plugins/common/base/json.h"
#include "plugins/common/base/sha256.h"
#include "plugins/common/oci-registry/blob_stream.h"
#include "plugins/common/oci-registry/manifest.h"

namespace dagger::oci {
namespace {

const std::vector<std::string>& accept_manifests() {
  static const std::vector<std::string> lines = [] {
    std::string line = "Accept: ";
    for (const auto type :
         {media_type::oci_index, media_type::docker_index, media_type::oci_manifest, media_type::docker_manifest})
      line.append(type).append(", ");
    return std::vector<std::string>{line + "*/*;q=0.1"};
  }();
  return lines;
}

// "code: message" of the first error in a registry's answer; "" where there is none. Printable characters only.
std::string registry_says(const std::string& body) try {
  const auto value = plugin_base::parse_json(body, "answer", Code::unavailable);
  const auto& error = value.at("errors").at(0);
  std::string text = error.value("code", "") + ": " + error.value("message", "");
  std::string out;
  for (const char c : text.substr(0, 200))
    if (c >= 0x20 && c < 0x7f) out += c;
  return out;
} catch (const std::exception&) {
  return {};
}

std::string without_parameters(std::string_view content_type) {
  const auto end = content_type.find_first_of("; \t");
  return std::string(content_type.substr(0, end));
}

void verify(const std::string& wanted, const std::string& computed, const std::string& what, const Endpoint& e) {
  if (wanted != computed)
    throw Error(Code::corrupt_data,
                what + " from " + e.host + " does not match its digest: wanted " + wanted + ", got " + computed);
}

}  // namespace

RegistryClient::RegistryClient(RegistrySettings settings, HttpTimeouts timeouts, RetryPolicy retries)
    : settings_(std::move(settings)), retries_(retries), http_(timeouts) {}

std::chrono::milliseconds RegistryClient::pause(int n) const {
  return std::min(retries_.first_pause * (1 << std::min(n - 1, 10)), retries_.longest_pause);
}

std::vector<Endpoint> RegistryClient::endpoints(const Reference& image) {
  auto all = endpoints_of(settings_, image);
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  const auto avoided = [&](const Endpoint& e) {
    const auto found = avoided_.find(e.host);
    return e.mirror && found != avoided_.end() && found->second > now;
  };
  all.erase(std::remove_if(all.begin(), all.end(), avoided), all.end());
  return all;
}

void RegistryClient::avoid(const Endpoint& mirror, const Error& why, Call& call) {
  call.ctx().log(plugin::LogLevel::info, "mirror " + mirror.host + " is left out: " + why.what());
  if (why.code() != Code::unavailable) return;
  const std::lock_guard lock(mutex_);
  avoided_[mirror.host] = std::chrono::steady_clock::now() + retries_.avoid_mirror;
}

template <class F>
auto RegistryClient::on_some_host(Call& call, const Reference& image, F f) {
  for (const Endpoint& e : endpoints(image)) {
    for (int attempt = 1;; ++attempt) {
      try {
        return f(e);
      } catch (const Error& error) {
        if (error.code() == Code::cancelled) throw;
        if (e.mirror) {
          avoid(e, error, call);
          break;
        }
        if (error.code() != Code::unavailable || attempt >= retries_.attempts) throw;
        call.ctx().log(plugin::LogLevel::debug, std::string(error.what()) + "; trying again");
      }
      call.wait(pause(attempt));
    }
  }
  throw Error(Code::internal, "no registry for " + image.name());
}

HttpResponse RegistryClient::request(Call& call, const Endpoint& e, const std::string& method, const std::string& path,
                                     std::vector<std::string> headers, std::initializer_list<int> good) {
  HttpRequest r;
  r.method = method, r.url = e.url(path), r.headers = std::move(headers), r.ca_file = e.ca;
  for (bool again = false;; again = true) {
    call.throw_if_cancelled();
    r.authorization = authorizer_.authorization(call, e);
    HttpResponse response = http_.send(r, call.ctx());
    if (std::find(good.begin(), good.end(), response.status()) != good.end()) return response;
    const bool challenge = response.status() == 401 && same_origin(response.url(), r.url);
    if (!challenge || again || !authorizer_.challenged(call, e, response)) throw failure(call, e, path, response);
    (void)response.read_error_text();
  }
}

Error RegistryClient::failure(Call& call, const Endpoint& e, const std::string& path, HttpResponse& response) {
  const int status = response.status();
  const std::string says = registry_says(response.read_error_text());
  const std::string text = "status " + std::to_string(status) + (says.empty() ? "" : ", " + says);
  const std::string host = host_of(response.url());
  if ((status == 401 || status == 403) && host == e.host) return authorizer_.denied(call, e, text);
  // Storage behind a redirect lets in whoever has a fresh address from the registry.
  if (status == 401 || status == 403)
    return Error(Code::unavailable, "storage " + host + " of registry " + e.host + " refuses access (" + text + ")");
  if (status == 404)
    return Error(Code::not_found, "registry " + host + " has no " + e.repository + path + " (" + text + ")");
  if (status == 408 || status == 429 || status >= 500) {
    const auto after = parse_retry_after(response.header("retry-after"));
    const bool too_long = after && *after > retries_.longest_pause;
    if (after && !too_long && !e.mirror) call.wait(*after);
    return Error(Code::unavailable, "registry " + host + " answers with " + text +
                                        (too_long ? "; try again in " + std::to_string(after->count()) + " s" : "") +
                                        (status == 429 ? "; it may allow more after a login" : ""));
  }
  // Asking again changes nothing.
  const bool wants_https = status == 400 && response.url().rfind("http://", 0) == 0;
  return Error(Code::unsupported,
               "registry " + host + " answers with an unexpected " + text +
                   (wants_https ? "; if it speaks https, set registries.\"" + host + "\".plain_http to false" : ""));
}

std::string RegistryClient::resolve(Call& call, const Reference& image) {
  return on_some_host(call, image, [&](const Endpoint& e) -> std::string {
    const HttpResponse response =
        request(call, e, "HEAD", "/manifests/" + image.version(), accept_manifests(), {200, 400, 405, 501});
    std::string digest(response.header("docker-content-digest"));
    return response.status() == 200 && plugin_base::is_sha256_digest(digest) ? digest : std::string();
  });
}

Document RegistryClient::manifest(Call& call, const Reference& image) {
  return on_some_host(call, image, [&](const Endpoint& e) {
    HttpResponse response = request(call, e, "GET", "/manifests/" + image.version(), accept_manifests(), {200});
    Document d;
    d.content_type = without_parameters(response.header("content-type"));
    const std::string claimed(response.header("docker-content-digest"));
    d.bytes = response.read_all(max_manifest_bytes);
    d.digest = plugin_base::sha256_digest(d.bytes);
    const std::string what = "the manifest of " + image.str();
    if (!image.digest.empty())
      verify(image.digest, d.digest, what, e);
    else if (plugin_base::is_sha256_digest(claimed))
      verify(claimed, d.digest, what, e);
    return d;
  });
}

std::string RegistryClient::small_blob(Call& call, const Reference& image, const std::string& digest,
                                       std::size_t limit) {
  return on_some_host(call, image, [&](const Endpoint& e) {
    std::string bytes = request(call, e, "GET", "/blobs/" + digest, {}, {200}).read_all(limit);
    verify(digest, plugin_base::sha256_digest(bytes), "a blob of " + image.name(), e);
    return bytes;
  });
}

// The places that serve one blob, as the stream sees them.
class RegistryClient::BlobPlaces final : public BlobSource {
 public:
  BlobPlaces(RegistryClient& client, Call& call, const Reference& image, std::string digest)
      : client_(client), call_(call), endpoints_(client.endpoints(image)), path_("/blobs/" + std::move(digest)) {}

  HttpResponse open(std::int64_t offset) override {
    std::vector<std::string> headers{"Accept-Encoding: identity"};
    if (offset == 0) return client_.request(call_, endpoints_[at_], "GET", path_, std::move(headers), {200, 206});
    headers.push_back("Range: bytes=" + std::to_string(offset) + "-");
    return client_.request(call_, endpoints_[at_], "GET", path_, std::move(headers), {200, 206, 400, 416, 501});
  }
  void next_place(const Error& why) override { client_.avoid(endpoints_[at_++], why, call_); }
  bool last_place() const override { return at_ + 1 == endpoints_.size(); }
  void pause(int n) override { call_.wait(client_.pause(n)); }

 private:
  RegistryClient& client_;
  Call& call_;
  std::vector<Endpoint> endpoints_;
  std::size_t at_ = 0;
  std::string path_;
};

std::unique_ptr<plugin::ByteStream> RegistryClient::blob(Call& call, const Reference& image, const std::string& digest,
                                                         std::int64_t size) {
  return std::make_unique<ResumingStream>(std::make_unique<BlobPlaces>(*this, call, image, digest), digest, size,
                                          retries_.attempts, call.ctx());
}

}  // namespace dagger::oci
