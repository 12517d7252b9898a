#include "plugins/common/oci-registry/manifest.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "plugins/common/base/json.h"
#include "plugins/common/base/sha256.h"

namespace dagger::oci {
namespace {

using nlohmann::json;

[[noreturn]] void corrupt(const std::string& what, const std::string& why) {
  throw Error(Code::corrupt_data, what + " is malformed: " + why);
}
[[noreturn]] void unsupported(const std::string& what, const std::string& why) {
  throw Error(Code::unsupported, what + " " + why);
}

json parse_object(std::string_view document, const std::string& what, std::size_t limit) {
  json value = plugin_base::parse_json(document, what, Code::corrupt_data, {limit, 32});
  if (!value.is_object()) corrupt(what, "it is no JSON object");
  return value;
}

// A string member; "" where it is absent or null.
std::string text_of(const json& object, const char* key, const std::string& what) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  if (!found->is_string()) corrupt(what, std::string(key) + " is no string");
  return found->get<std::string>();
}

// A list; null, as some tools write it, is an empty one.
const json& array_of(const json& object, const char* key, const std::string& what, std::size_t most) {
  static const json none = json::array();
  const auto found = object.find(key);
  if (found != object.end() && found->is_null()) return none;
  if (found == object.end() || !found->is_array()) corrupt(what, std::string(key) + " is no array");
  if (found->size() > most) corrupt(what, std::string(key) + " has more than " + std::to_string(most) + " entries");
  return *found;
}

void check_digest(const std::string& digest, const std::string& what) {
  if (plugin_base::is_sha256_digest(digest)) return;
  if (digest.rfind("sha512:", 0) == 0 || digest.rfind("sha384:", 0) == 0)
    unsupported(what, "uses " + digest.substr(0, 6) + " digests; only sha256 is supported");
  corrupt(what, "a digest is not sha256: and 64 hexadecimal digits");
}

Descriptor parse_descriptor(const json& value, const std::string& what) {
  if (!value.is_object()) corrupt(what, "a descriptor is no object");
  Descriptor d;
  d.media_type = text_of(value, "mediaType", what);
  d.digest = text_of(value, "digest", what);
  check_digest(d.digest, what);
  const auto size = value.find("size");
  if (size == value.end() || !size->is_number_integer() || *size < 0 || *size > std::int64_t{1} << 50)
    corrupt(what, "the size of " + d.digest + " is no sensible number");
  d.size = size->get<std::int64_t>();
  return d;
}

// The OCI spelling of a layer's media type; "" for what is no layer.
std::string layer_type(const std::string& type) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> known{{
      {media_type::oci_layer, media_type::oci_layer},
      {media_type::oci_layer_gzip, media_type::oci_layer_gzip},
      {media_type::oci_layer_zstd, media_type::oci_layer_zstd},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar", media_type::oci_layer},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", media_type::oci_layer_gzip},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", media_type::oci_layer_zstd},
      {"application/vnd.docker.image.rootfs.diff.tar", media_type::oci_layer},
      {"application/vnd.docker.image.rootfs.diff.tar.gzip", media_type::oci_layer_gzip},
      {"application/vnd.docker.image.rootfs.diff.tar.zstd", media_type::oci_layer_zstd},
      {"application/vnd.docker.image.rootfs.foreign.diff.tar", media_type::oci_layer},
      {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", media_type::oci_layer_gzip},
      {"application/vnd.docker.image.rootfs.foreign.diff.tar.zstd", media_type::oci_layer_zstd},
  }};
  const auto found = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.first == type; });
  return found == known.end() ? std::string() : std::string(found->second);
}

// Of a kind that registries need not hold; any other layer they have, too, when it names further places.
bool is_foreign(const std::string& type) {
  return type.find(".nondistributable.") != std::string::npos || type.find(".foreign.") != std::string::npos;
}

IndexEntry parse_entry(const json& value, const std::string& what) {
  IndexEntry e;
  static_cast<Descriptor&>(e) = parse_descriptor(value, what);
  e.is_index = e.media_type == media_type::oci_index || e.media_type == media_type::docker_index;
  if (const auto p = value.find("platform"); p != value.end() && !p->is_null()) {
    if (!p->is_object()) corrupt(what, "a platform is no object");
    e.platform = normalise({text_of(*p, "os", what), text_of(*p, "architecture", what), text_of(*p, "variant", what)});
    e.attestation = e.platform->os == "unknown" && e.platform->architecture == "unknown";
    if (e.platform->os.empty() && e.platform->architecture.empty()) e.platform.reset();
  }
  if (const auto a = value.find("annotations"); a != value.end() && a->is_object())
    e.attestation = e.attestation || a->contains("vnd.docker.reference.type");
  return e;
}

}  // namespace

bool is_index(std::string_view document, std::string_view content_type, const std::string& what) {
  const json value = parse_object(document, what, max_manifest_bytes);
  std::string type = text_of(value, "mediaType", what);
  const bool schema1 = value.contains("fsLayers") || (value.contains("schemaVersion") && value["schemaVersion"] == 1);
  if (schema1) unsupported(what, "is in Docker's old schema 1 format; push the image again with a current tool");
  if (type.empty() && value.contains("manifests") != value.contains("layers")) return value.contains("manifests");
  if (type.empty()) type = content_type;
  if (type == media_type::oci_index || type == media_type::docker_index) return true;
  if (type == media_type::oci_manifest || type == media_type::docker_manifest) return false;
  unsupported(what, "is no image manifest or index but \"" + type + "\"");
}

Index parse_index(std::string_view document, const std::string& what) {
  const json value = parse_object(document, what, max_manifest_bytes);
  Index index;
  for (const json& entry : array_of(value, "manifests", what, max_index_entries))
    index.entries.push_back(parse_entry(entry, what));
  return index;
}

Manifest parse_manifest(std::string_view document, const std::string& what) {
  const json value = parse_object(document, what, max_manifest_bytes);
  const auto config = value.find("config");
  if (config == value.end()) corrupt(what, "it has no config");
  Manifest m;
  m.config = parse_descriptor(*config, what);
  if (m.config.media_type != media_type::oci_config && m.config.media_type != media_type::docker_config)
    unsupported(what, "is not a container image: its configuration is \"" + m.config.media_type + "\"");
  if (m.config.size > static_cast<std::int64_t>(max_config_bytes))
    corrupt(what, "its configuration is larger than " + std::to_string(max_config_bytes) + " bytes");
  for (const json& entry : array_of(value, "layers", what, max_layers)) {
    Descriptor layer = parse_descriptor(entry, what);
    const auto urls = entry.find("urls");
    if (is_foreign(layer.media_type) && urls != entry.end() && urls->is_array() && !urls->empty())
      unsupported(what,
                  "has a foreign layer (" + layer.digest + ", kept outside of the registry); these are not fetched");
    std::string type = layer_type(layer.media_type);
    if (type.empty()) unsupported(what, "has a layer of unknown type \"" + layer.media_type + "\"");
    layer.media_type = std::move(type);
    m.layers.push_back(std::move(layer));
  }
  return m;
}

ImageConfig parse_config(std::string_view document, std::size_t layers, const std::string& what) {
  const json value = parse_object(document, what, max_config_bytes);
  ImageConfig c;
  Platform p{text_of(value, "os", what), text_of(value, "architecture", what), text_of(value, "variant", what)};
  if (!p.os.empty() && !p.architecture.empty()) c.platform = normalise(std::move(p));
  const auto rootfs = value.find("rootfs");
  if (rootfs == value.end() || !rootfs->is_object()) corrupt(what, "it has no rootfs");
  if (rootfs->contains("diff_ids")) {
    for (const json& id : array_of(*rootfs, "diff_ids", what, max_layers)) {
      if (!id.is_string()) corrupt(what, "a diff_id is no string");
      c.diff_ids.push_back(id.get<std::string>());
      check_digest(c.diff_ids.back(), what);
    }
  }
  if (c.diff_ids.size() != layers)
    corrupt(what, "it names " + std::to_string(c.diff_ids.size()) + " layers, the manifest " + std::to_string(layers));
  return c;
}

const IndexEntry& choose(const Index& index, const Platform& wanted, const std::string& what) {
  const IndexEntry* best = nullptr;
  int best_distance = 0;
  const IndexEntry* unnamed = nullptr;
  std::vector<std::string> offered;
  for (const IndexEntry& e : index.entries) {
    if (e.attestation) continue;
    if (!e.platform) {
      if (unnamed == nullptr) unnamed = &e;
      continue;
    }
    const std::string name = e.platform->str();
    if (std::find(offered.begin(), offered.end(), name) == offered.end()) offered.push_back(name);
    const auto d = distance(wanted, *e.platform);
    if (d && (best == nullptr || *d < best_distance)) best = &e, best_distance = *d;
  }
  if (best != nullptr) return *best;
  if (unnamed != nullptr) return *unnamed;
  std::string list;
  for (std::size_t i = 0; i < offered.size() && i < 40; ++i) list += (i == 0 ? "" : ", ") + offered[i];
  throw Error(Code::not_found, what + " has no image for platform " + wanted.str() +
                                   (list.empty() ? "; it holds no image at all" : "; available: " + list));
}

}  // namespace dagger::oci
