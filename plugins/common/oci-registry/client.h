// plugins/common/oci-registry/client.h — reading from registries: manifests, small blobs, blobs as streams that resume.
//
// [thread-safe] One per plugin. Every method asks the mirrors in order, then the registry; what may work later is tried
// again with growing pauses, at the registry itself only. Manifests and small blobs are verified here, since the host
// never sees their bytes; a stream's bytes are the reader's to verify.
// Errors: not_found, permission_denied, unavailable (host:port and reason), corrupt_data, cancelled.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "plugins/common/oci-registry/auth.h"
#include "plugins/common/oci-registry/http.h"
#include "plugins/common/oci-registry/settings.h"

namespace dagger::oci {

struct RetryPolicy {
  int attempts = 4;                                 // of one request; of a download, those without progress
  std::chrono::milliseconds first_pause{200};       // doubled each time
  std::chrono::milliseconds longest_pause{20'000};  // a registry that asks for more (Retry-After) has failed
  std::chrono::milliseconds avoid_mirror{30'000};   // after it failed
};

struct Document {
  std::string bytes;
  std::string content_type;  // without parameters
  std::string digest;        // computed
};

class RegistryClient {
 public:
  explicit RegistryClient(RegistrySettings settings, HttpTimeouts timeouts = {}, RetryPolicy retries = {});

  // The digest that image.tag (or .digest) stands for now; "" when the registry does not tell without sending it.
  std::string resolve(Call& call, const Reference& image);
  // By image.version().
  Document manifest(Call& call, const Reference& image);
  std::string small_blob(Call& call, const Reference& image, const std::string& digest, std::size_t limit);
  // size: what the manifest says. call must outlive the stream.
  std::unique_ptr<plugin::ByteStream> blob(Call& call, const Reference& image, const std::string& digest,
                                           std::int64_t size);

 private:
  class BlobPlaces;
  template <class F>
  auto on_some_host(Call& call, const Reference& image, F f);
  // One request with whatever authorization it takes; the answer's status is one of good.
  HttpResponse request(Call& call, const Endpoint& endpoint, const std::string& method, const std::string& path,
                       std::vector<std::string> headers, std::initializer_list<int> good);
  Error failure(Call& call, const Endpoint& endpoint, const std::string& path, HttpResponse& response);
  std::vector<Endpoint> endpoints(const Reference& image);
  void avoid(const Endpoint& mirror, const Error& why, Call& call);
  // The pause before attempt number n (1: the first repetition).
  std::chrono::milliseconds pause(int n) const;

  RegistrySettings settings_;
  RetryPolicy retries_;
  HttpClient http_;
  Authorizer authorizer_{http_};
  std::mutex mutex_;
  std::map<std::string, std::chrono::steady_clock::time_point> avoided_;  // mirrors, until when
};

}  // namespace dagger::oci
