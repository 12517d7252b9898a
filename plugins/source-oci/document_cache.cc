#include "plugins/source-oci/document_cache.h"

namespace dagger::source_oci {

std::shared_ptr<const std::string> DocumentCache::find(const std::string& repository, const std::string& digest) const {
  const std::lock_guard lock(mutex_);
  const auto found = documents_.find(repository + "@" + digest);
  return found == documents_.end() ? nullptr : found->second;
}

void DocumentCache::put(const std::string& repository, const std::string& digest,
                        std::shared_ptr<const std::string> bytes) {
  if (bytes->size() > max_bytes_) return;
  std::string key = repository + "@" + digest;
  const std::lock_guard lock(mutex_);
  if (!documents_.emplace(key, bytes).second) return;
  bytes_ += bytes->size();
  order_.push_back(std::move(key));
  while (bytes_ > max_bytes_) {
    const auto oldest = documents_.find(order_.front());
    bytes_ -= oldest->second->size();
    documents_.erase(oldest);
    order_.pop_front();
  }
}

}  // namespace dagger::source_oci
