// plugins/source-oci/source.h — container images from registries.
//
// pin() turns a reference and a platform into the digest of that platform's manifest; fetch() streams one layer,
// resumed where a connection is cut. What a pin says in identity (repository and top-level digest) and in a layer's id
// is all that fetch() needs, in any process. [thread-safe] [blocking] Errors: not_found, permission_denied,
// unavailable, unsupported, corrupt_data; each names the image as it was written.
#pragma once
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "dagger/plugin/source.h"
#include "plugins/common/base/joined_text.h"
#include "plugins/common/oci-registry/client.h"
#include "plugins/common/oci-registry/manifest.h"
#include "plugins/source-oci/document_cache.h"

namespace dagger::source_oci {

struct Settings {
  oci::RegistrySettings registries;
  int parallel_downloads = 6;
};
Settings parse_settings(std::string_view config_json);

inline constexpr auto joined_schema = plugin_base::joined(R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "description": "Images of container registries, of both families of formats",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "registries": )",
                                                          oci::registries_schema, R"(,
    "parallel_downloads": {
      "type": "integer",
      "minimum": 1,
      "maximum": 64,
      "default": 6,
      "description": "How many layers are downloaded at the same time"
    }
  }
})");

class OciSource final : public plugin::Source {
 public:
  static constexpr auto& settings_schema = joined_schema.bytes;

  OciSource(plugin::Host& host, std::string_view config_json);
  explicit OciSource(Settings settings, oci::HttpTimeouts timeouts = {}, oci::RetryPolicy retries = {});

  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::vector<std::string> schemes() const override;
  plugin::PinResult pin(const plugin::SourceRef& ref, const std::optional<plugin::Pin>& last, plugin::SourceSink& sink,
                        plugin::CallContext& ctx) override;
  void fetch(const plugin::SourceRef& ref, const plugin::Pin& pin, const plugin::SourceLayer& layer,
             plugin::SourceSink& sink, plugin::CallContext& ctx) override;

 private:
  using Bytes = std::shared_ptr<const std::string>;
  // A manifest or index with what led to it.
  struct Found {
    Bytes bytes;
    std::string digest, content_type;
    bool checked_platform = false;  // an index said what it is for
  };
  // Limits how many layers are on their way at once.
  class Slot {
   public:
    Slot(OciSource& source, plugin::CallContext& ctx);
    ~Slot();
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    OciSource& source_;
  };

  Found top(oci::Call& call, const oci::Reference& image, bool revalidate);
  Found document(oci::Call& call, const oci::Reference& image);
  Found manifest_for(oci::Call& call, const oci::Reference& image, const oci::Platform& wanted, Found found);
  Bytes config(oci::Call& call, const oci::Reference& image, const oci::Descriptor& descriptor);
  plugin::PinResult pin_image(oci::Call& call, const oci::Reference& image, const oci::Platform& wanted,
                              const std::optional<plugin::Pin>& last);

  Settings settings_;
  oci::RegistryClient client_;
  DocumentCache cache_;
  std::mutex mutex_;
  std::condition_variable slot_free_;
  int downloads_ = 0;
};

}  // namespace dagger::source_oci
