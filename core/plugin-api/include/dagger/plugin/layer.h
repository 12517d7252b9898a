// dagger/plugin/layer.h — layers and their forms, as snapshotters, executors, sources and cache tiers see them.
//
// A layer is an immutable change set with an id. It exists in zero or more forms, each at a place. A stack of layers,
// lowest first, is a snapshot.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace dagger::plugin {

// Names of forms. A snapshotter may define further ones ("erofs"); the store treats them as opaque.
namespace form {
inline constexpr const char* overlay_trusted =
    "overlay-trusted";  // directory; char device 0:0 whiteouts, trusted.overlay.opaque
inline constexpr const char* overlay_user = "overlay-user";  // directory; the same with user.overlay.*
inline constexpr const char* tar = "tar";                    // blob: uncompressed OCI layer tar, AUFS whiteouts
inline constexpr const char* tar_gzip = "tar+gzip";
inline constexpr const char* tar_zstd = "tar+zstd";
inline constexpr const char* remote = "remote";  // known elsewhere by digest; no local bytes
}  // namespace form

struct LayerPlace {
  std::string form;
  std::string path;  // absolute path of the directory or blob; empty for remote
};

struct Layer {
  std::string id;  // names the layer inside this engine
  std::vector<LayerPlace> places;
};

// One filesystem object that an exec needs to exist as a mount point but that must not appear in any layer.
struct MountStub {
  std::string path;  // absolute, in the container
  bool directory = true;
};

}  // namespace dagger::plugin
