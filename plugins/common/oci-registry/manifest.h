// plugins/common/oci-registry/manifest.h — indexes, manifests and image configurations of both families. Pure.
//
// Every document is hostile: size, depth and counts are bounded here. Errors: corrupt_data for what is malformed,
// unsupported for what is well-formed but not an image this engine runs. what: names the document in errors.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/common/oci-registry/platform.h"

namespace dagger::oci {

namespace media_type {
inline constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view oci_config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view oci_layer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view oci_layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view oci_layer_zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view docker_index = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_config = "application/vnd.docker.container.image.v1+json";
}  // namespace media_type

inline constexpr std::size_t max_manifest_bytes = 4 << 20;
inline constexpr std::size_t max_config_bytes = 8 << 20;
inline constexpr std::size_t max_index_entries = 1000;
inline constexpr std::size_t max_layers = 1000;

struct Descriptor {
  std::string media_type;
  std::string digest;  // "sha256:..."
  std::int64_t size = 0;
};

struct IndexEntry : Descriptor {
  std::optional<Platform> platform;
  bool attestation = false;  // says something about another entry; never an image to run
  bool is_index = false;
};
struct Index {
  std::vector<IndexEntry> entries;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first; media types in the OCI family's spelling
};

struct ImageConfig {
  Platform platform;  // normalised; empty strings where the configuration says nothing
  std::vector<std::string> diff_ids;
};

// Whether a document is an index. The document's own mediaType or its members decide; the registry's Content-Type only
// where they say nothing. Throws unsupported for schema 1 and for what is neither index nor manifest.
bool is_index(std::string_view document, std::string_view content_type, const std::string& what);
Index parse_index(std::string_view document, const std::string& what);
Manifest parse_manifest(std::string_view document, const std::string& what);
// layers: how many diff_ids there must be.
ImageConfig parse_config(std::string_view document, std::size_t layers, const std::string& what);

// The entry that fits best (the first of equals), or a nested index or an entry without platform where none does.
// Throws not_found that lists what there is.
const IndexEntry& choose(const Index& index, const Platform& wanted, const std::string& what);

}  // namespace dagger::oci
