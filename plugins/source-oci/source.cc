#include "plugins/source-oci/source.h"

#include <nlohmann/json.hpp>

#include "plugins/common/base/json.h"
#include "plugins/common/base/sha256.h"

namespace dagger::source_oci {
namespace {

using plugin::PinResult;

constexpr std::size_t cached_bytes = 4 << 20;
constexpr int max_nesting = 4;  // an index in an index in ...

// "oci://host/x" arrives as "//host/x".
std::string written(const plugin::SourceRef& ref) {
  return ref.location.rfind("//", 0) == 0 ? ref.location.substr(2) : ref.location;
}

std::string quoted(const oci::Reference& image) { return "image \"" + image.str() + "\""; }

// What the registry's answer means for who wanted this image.
Error explained(const Error& e, const std::string& name) {
  if (e.code() == Code::cancelled) return e;
  if (e.code() == Code::not_found)
    return Error(e.code(), "image \"" + name + "\" not found: " + e.what() +
                               "; check the spelling of the name and the tag, and log in if the repository is private");
  return Error(e.code(), "image \"" + name + "\": " + e.what());
}

// What a pin remembers for the next time.
struct Validators {
  std::string top, platform;
};

std::string write_validators(const Validators& v) {
  return nlohmann::json{{"top", v.top}, {"platform", v.platform}}.dump();
}

Validators read_validators(const std::optional<plugin::Pin>& pin) {
  if (!pin || pin->validators.empty()) return {};
  const auto value = nlohmann::json::parse(pin->validators, nullptr, false);
  if (!value.is_object()) return {};
  const auto text = [&](const char* key) {
    const auto found = value.find(key);
    return found != value.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  return {text("top"), text("platform")};
}

}  // namespace

Settings parse_settings(std::string_view config_json) {
  const auto value = plugin_base::parse_settings(config_json);
  plugin_base::check_keys(value, "settings", {"registries", "parallel_downloads"});
  Settings s;
  if (const auto registries = value.find("registries"); registries != value.end())
    s.registries = oci::parse_registries(*registries);
  s.parallel_downloads =
      static_cast<int>(plugin_base::int_setting(value, "settings", "parallel_downloads", s.parallel_downloads, 1, 64));
  return s;
}

OciSource::OciSource(plugin::Host&, std::string_view config_json) : OciSource(parse_settings(config_json)) {}
OciSource::OciSource(Settings settings, oci::HttpTimeouts timeouts, oci::RetryPolicy retries)
    : settings_(std::move(settings)), client_(settings_.registries, timeouts, retries), cache_(cached_bytes) {}

std::vector<std::string> OciSource::schemes() const { return {"oci", "docker-image"}; }

PinResult OciSource::pin(const plugin::SourceRef& ref, const std::optional<plugin::Pin>& last, plugin::SourceSink&,
                         plugin::CallContext& ctx) {
  const oci::Reference image = oci::parse_reference(written(ref));
  const oci::Platform wanted = oci::parse_platform(ref.platform);
  oci::Call call(ctx);
  return pin_image(call, image, wanted, last);
}

PinResult OciSource::pin_image(oci::Call& call, const oci::Reference& image, const oci::Platform& wanted,
                               const std::optional<plugin::Pin>& last) {
  const Validators known = read_validators(last);
  Found first = top(call, image, last.has_value());
  const std::string top_digest = first.digest;
  const bool unchanged = first.bytes == nullptr && known.top == top_digest && known.platform == wanted.str() &&
                         plugin_base::is_sha256_digest(last->digest);
  if (unchanged) {  // the index, if it was one, led here before
    first = document(call, image.with_digest(last->digest));
    first.checked_platform = true;
  } else if (first.bytes == nullptr) {
    first = document(call, image.with_digest(top_digest));
  }
  const Found found = manifest_for(call, image, wanted, std::move(first));

  const std::string what = quoted(image);
  const oci::Manifest manifest = oci::parse_manifest(*found.bytes, what);
  const Bytes config_bytes = config(call, image, manifest.config);
  const oci::ImageConfig config =
      oci::parse_config(*config_bytes, manifest.layers.size(), "the configuration of " + what);
  if (!found.checked_platform && !config.platform.os.empty() && !oci::distance(wanted, config.platform)) {
    if (found.digest != top_digest)
      throw Error(Code::not_found,
                  what + " has no image for platform " + wanted.str() + "; available: " + config.platform.str());
    call.ctx().log(plugin::LogLevel::warn,
                   what + " exists only for " + config.platform.str() + ", not for " + wanted.str());
  }

  PinResult result;
  result.pin.digest = found.digest;
  result.pin.identity = image.with_digest(top_digest).str();
  result.pin.validators = write_validators({top_digest, wanted.str()});
  result.shape = plugin::SourceShape::image;
  result.metadata_json = *config_bytes;
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    const oci::Descriptor& d = manifest.layers[i];
    result.layers.push_back({d.digest, config.diff_ids[i], d.media_type, d.size, {}});
  }
  return result;
}

// The document that the reference names, or only its digest where asking for that was enough.
OciSource::Found OciSource::top(oci::Call& call, const oci::Reference& image, bool revalidate) try {
  const bool cached = !image.digest.empty() && cache_.find(image.name(), image.digest) != nullptr;
  if (revalidate || cached) {
    // Also for a digest that is known: whether this client may read it is the registry's to say.
    std::string digest = client_.resolve(call, image);
    if (!image.digest.empty() && !digest.empty()) digest = image.digest;
    if (!digest.empty()) return {nullptr, std::move(digest), {}, false};
  }
  oci::Document d = client_.manifest(call, image);
  auto bytes = std::make_shared<const std::string>(std::move(d.bytes));
  cache_.put(image.name(), d.digest, bytes);
  return {std::move(bytes), std::move(d.digest), std::move(d.content_type), false};
} catch (const Error& e) {
  throw explained(e, image.str());
}

OciSource::Found OciSource::document(oci::Call& call, const oci::Reference& image) try {
  if (auto bytes = cache_.find(image.name(), image.digest)) return {std::move(bytes), image.digest, {}, false};
  oci::Document d = client_.manifest(call, image);
  auto bytes = std::make_shared<const std::string>(std::move(d.bytes));
  cache_.put(image.name(), d.digest, bytes);
  return {std::move(bytes), std::move(d.digest), std::move(d.content_type), false};
} catch (const Error& e) {
  throw explained(e, image.str());
}

OciSource::Found OciSource::manifest_for(oci::Call& call, const oci::Reference& image, const oci::Platform& wanted,
                                         Found found) {
  const std::string what = quoted(image);
  for (int depth = 0; oci::is_index(*found.bytes, found.content_type, what); ++depth) {
    if (depth == max_nesting)
      throw Error(Code::unsupported, what + " is nested in more than " + std::to_string(max_nesting) + " indexes");
    const oci::Index index = oci::parse_index(*found.bytes, what);
    const oci::IndexEntry& entry = oci::choose(index, wanted, what);
    found = document(call, image.with_digest(entry.digest));
    if (static_cast<std::int64_t>(found.bytes->size()) != entry.size)
      throw Error(Code::corrupt_data,
                  what + ": the manifest " + entry.digest + " has another size than its index says");
    found.checked_platform = entry.platform.has_value();
    if (found.content_type.empty()) found.content_type = entry.media_type;
  }
  return found;
}

OciSource::Bytes OciSource::config(oci::Call& call, const oci::Reference& image,
                                   const oci::Descriptor& descriptor) try {
  if (auto bytes = cache_.find(image.name(), descriptor.digest)) return bytes;
  auto bytes = std::make_shared<const std::string>(
      client_.small_blob(call, image, descriptor.digest, static_cast<std::size_t>(descriptor.size)));
  cache_.put(image.name(), descriptor.digest, bytes);
  return bytes;
} catch (const Error& e) {
  throw explained(e, image.str());
}

OciSource::Slot::Slot(OciSource& source, plugin::CallContext& ctx) : source_(source) {
  std::unique_lock lock(source_.mutex_);
  while (source_.downloads_ >= source_.settings_.parallel_downloads) {
    if (ctx.cancelled()) throw Error(Code::cancelled, "the download was cancelled while it waited for others");
    source_.slot_free_.wait_for(lock, std::chrono::milliseconds(100));
  }
  ++source_.downloads_;
}

OciSource::Slot::~Slot() {
  {
    const std::lock_guard lock(source_.mutex_);
    --source_.downloads_;
  }
  source_.slot_free_.notify_one();
}

void OciSource::fetch(const plugin::SourceRef&, const plugin::Pin& pin, const plugin::SourceLayer& layer,
                      plugin::SourceSink& sink, plugin::CallContext& ctx) {
  const oci::Reference image = oci::parse_reference(pin.identity);
  if (!plugin_base::is_sha256_digest(layer.id))
    throw Error(Code::invalid_argument, quoted(image) + ": layer \"" + layer.id + "\" is no sha256 digest");
  if (sink.have(layer)) return;
  const Slot slot(*this, ctx);
  oci::Call call(ctx);
  const auto stream = client_.blob(call, image, layer.id, layer.size);
  try {
    sink.tar(layer, *stream);
  } catch (const Error& e) {
    if (e.code() == Code::cancelled) throw;
    throw Error(e).in(quoted(image) + ", layer " + layer.id);
  }
}

}  // namespace dagger::source_oci
