// dagger/plugin/layer.h — layers and their forms, as snapshotters, executors, sources and cache tiers see them.
//
// A layer is an immutable change set. It exists in zero or more forms, each at a place. A stack of layers, lowest
// first, is a snapshot. Plain values: places are valid as long as what they were handed over for (a view, an exec)
// lives.
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
inline constexpr const char* remote = "remote";  // kept by somebody else; no local bytes
}  // namespace form

struct LayerPlace {
  std::string form;
  std::string path;  // absolute, of the directory or blob; remote: what its keeper calls it
};

struct Layer {
  std::string id;  // names the layer inside this engine's store, and nowhere else
  std::vector<LayerPlace> places;
  // Names its content everywhere: "sha256:..." of the uncompressed tar. Empty while nobody has computed it.
  std::string digest;
};

// One filesystem object that an exec needs to exist as a mount point but that must not appear in any layer.
struct MountStub {
  std::string path;  // absolute, in the container
  bool directory = true;
};

}  // namespace dagger::plugin
