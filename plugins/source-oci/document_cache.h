// plugins/source-oci/document_cache.h — manifests and configurations that were verified, so that a pin that changed
// nothing costs one request. [thread-safe]
//
// Keyed by repository and digest: a digest alone would hand a private document to whoever can name it.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace dagger::source_oci {

class DocumentCache {
 public:
  explicit DocumentCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  std::shared_ptr<const std::string> find(const std::string& repository, const std::string& digest) const;
  void put(const std::string& repository, const std::string& digest, std::shared_ptr<const std::string> bytes);

 private:
  const std::size_t max_bytes_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const std::string>> documents_;
  std::deque<std::string> order_;  // oldest first
  std::size_t bytes_ = 0;
};

}  // namespace dagger::source_oci
