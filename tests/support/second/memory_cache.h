// tests/support/second/memory_cache.h — a cache tier whose records and blobs live in memory. [thread-safe]
#pragma once
#include <map>
#include <mutex>

#include "dagger/plugin/cache_store.h"

namespace dagger::testing {

class MemoryCache : public plugin::CacheStore {
 public:
  static constexpr char settings_schema[] = R"({"type": "object", "description": "a tier in memory", "properties": {
    "read_only": {"type": "boolean", "default": false, "description": "refuses writes, as a shared tier may"}}})";

  MemoryCache(plugin::Host& host, std::string_view settings);
  std::string_view config_schema() const noexcept override { return settings_schema; }
  plugin::CacheStoreTraits traits() const override;
  std::vector<std::pair<std::string, std::string>> records(const std::vector<std::string>& keys,
                                                           plugin::CallContext& ctx) override;
  void put_record(const std::string& key, const std::string& record, const std::vector<std::string>& blobs,
                  plugin::CallContext& ctx) override;
  std::vector<std::string> missing(const std::vector<std::string>& digests, plugin::CallContext& ctx) override;
  std::unique_ptr<plugin::ByteStream> read_blob(const std::string& digest, std::int64_t offset, std::int64_t length,
                                                plugin::CallContext& ctx) override;
  void write_blob(const std::string& digest, std::int64_t size, plugin::ByteStream& stream,
                  plugin::CallContext& ctx) override;
  void touch(const std::vector<std::string>& keys_and_digests, plugin::CallContext& ctx) override;

 private:
  bool read_only_;
  std::mutex mutex_;
  std::map<std::string, std::string> records_;
  std::map<std::string, std::shared_ptr<const std::string>> blobs_;
};

}  // namespace dagger::testing
