// plugins/cache-local/store.h — a cache tier in a directory, which several runners may share at the same time.
//
//   <path>/v1/records/ab/<sha256 of the key>   a header with the key and the record's digest, then the record
//   <path>/v1/blobs/ab/<hex of the digest>     the blob itself
//   <path>/v1/tmp/                             what is being written; renamed into place when whole and on disk
//
// Names come from digests only, so no key can reach another place. A file that is seen is whole; a record that does not
// match its header counts as absent. [thread-safe] [blocking] Errors: not_found, corrupt_data, no_space, cancelled,
// invalid_argument, unavailable (the file system says no).
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dagger/plugin/cache_store.h"

namespace dagger::cache_local {

class LocalCache final : public plugin::CacheStore {
 public:
  static constexpr char settings_schema[] = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "description": "A cache in a directory that several runners may share, for example on a network file system",
  "type": "object",
  "additionalProperties": false,
  "required": ["path"],
  "properties": {
    "path": {
      "type": "string",
      "pattern": "^/",
      "description": "Absolute path of the cache directory; it is made when missing, and several runners may share it"
    }
  }
})json";

  LocalCache(plugin::Host& host, std::string_view config_json);

  std::string_view config_schema() const noexcept override { return settings_schema; }
  plugin::CacheStoreTraits traits() const override { return {true, false}; }
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
  class NewFile;
  std::optional<std::string> read_record(const std::string& key) const;
  void remove_stale_files() noexcept;

  std::string path_;
  UniqueFd root_;  // <path>/v1
};

}  // namespace dagger::cache_local
