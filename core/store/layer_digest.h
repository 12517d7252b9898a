// core/store/layer_digest.h — content and exact digest of a layer directory: a Merkle hash of its change set.
//
// Both cover names, types, modes, owners, link targets, devices, extended attributes (not the marks of overlay itself),
// contents, whiteouts and opaque directories; the exact one also modification times. Independent of the form the marks
// have. [thread-safe] [blocking]
#pragma once
#include <atomic>
#include <optional>

#include "core/base/digest.h"

namespace dagger::store {

struct LayerDigests {
  Digest content, exact;
};

// Nothing when the layer cannot have any: too deep, redirects, or stop was set. Errors of the file system are thrown.
std::optional<LayerDigests> digest_layer(int dir, const std::atomic<bool>& stop);

}  // namespace dagger::store
