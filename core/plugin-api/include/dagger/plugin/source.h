// dagger/plugin/source.h — pins a reference, then fetches what it names.
//
// pin() turns "alpine:3" into something that never changes meaning; fetch() streams its layers into the sink.
// Unpacking, digests, permissions and path safety are the host's: a source only delivers bytes, or fills an empty
// directory. What a source keeps for itself (a mirror of a repository, a list of tags) never replaces asking: whether
// this client may have the content is decided by the other side, with the credentials of this call.
#pragma once
#include <memory>
#include <utility>

#include "dagger/plugin/plugin.h"

namespace dagger::plugin {

using Attributes = std::vector<std::pair<std::string, std::string>>;

// What the user wrote, split by the host at the first ':' of its scheme.
struct SourceRef {
  std::string scheme;     // one of schemes(): "oci", "git", "https", ...
  std::string location;   // the rest, as written ("alpine:3", "//example.com/x.tar")
  Attributes attributes;  // "ref" (git: branch, tag or commit), "checksum", "subdir", ...; names of secrets and sockets
  std::string platform;   // "linux/amd64"; "" where it does not matter
};

enum class SourceShape : int { image, directory, file };

// An immutable reference. digest goes into cache keys: two pins of one scheme with equal digest give equal trees, names
// and modes of files included, so whatever shapes the tree (a subdirectory, a file name) is part of the digest.
struct Pin {
  std::string digest;      // "sha256:..." or another "algorithm:value"; never empty
  std::string identity;    // canonical immutable form, shown to users ("docker.io/library/alpine:3@sha256:...")
  std::string validators;  // opaque to the host; handed back to pin() the next time (ETag, commit, ...)
};

struct SourceLayer {
  std::string id;          // tar(): "sha256:..." of the bytes as they travel, where known; else unique within the pin
  std::string diff_id;     // sha256 of the uncompressed tar, verified by the host; "" where unknown
  std::string media_type;  // OCI media type; "" for a layer that is delivered through directory()
  std::int64_t size = -1;  // bytes as they travel; -1 unknown
  Attributes attributes;   // the source's own
};

struct PinResult {
  Pin pin;
  SourceShape shape = SourceShape::directory;
  std::string metadata_json;        // image: the OCI image configuration; else free, may be empty
  std::vector<SourceLayer> layers;  // lowest first
  std::string file_name;            // shape file: the name of the one file in the layer
};

// Where fetched content goes. Implemented by the host; valid until the call returns. [thread-safe]
class SourceSink {
 public:
  // True: the host holds this layer already (by id or diff_id); it need not be delivered.
  virtual bool have(const SourceLayer& layer) = 0;
  // Delivers a layer as a tar stream, compressed or not (media_type, and the stream's own magic, tell). Reads to the
  // end, verifies id (where it is a digest) and diff_id, unpacks as OCI layers are unpacked (a name that begins with
  // ".wh." removes). Throws corrupt_data and whatever stream.read() throws.
  virtual void tar(const SourceLayer& layer, ByteStream& stream) = 0;
  // An empty directory (O_DIRECTORY fd) for the plugin to fill; done() makes it the layer. Not calling done() discards
  // it. Times are kept: a source that does not mean them sets them to something fixed.
  class Directory {
   public:
    virtual ~Directory() = default;
    virtual int fd() const noexcept = 0;
    virtual void done() = 0;
  };
  virtual std::unique_ptr<Directory> directory(const SourceLayer& layer) = 0;

 protected:
  ~SourceSink() = default;
};

// [thread-safe] [blocking]
class Source : public Plugin {
 public:
  static constexpr const char* kind = "source";
  virtual std::vector<std::string> schemes() const = 0;
  // Both methods take logins from ctx.credentials() and ctx.open_secret(), throw not_found, permission_denied,
  // unavailable, corrupt_data (a checksum differs), cancelled, and name the reference in every error.
  // last: the pin that the same reference had before, if the host still knows it; a source may revalidate and return
  // it. May deliver into sink what it had to download to pin.
  virtual PinResult pin(const SourceRef& ref, const std::optional<Pin>& last, SourceSink& sink, CallContext& ctx) = 0;
  // Delivers one layer of a pin that this plugin made, maybe in another process, long ago. Called for several layers of
  // one pin at the same time.
  virtual void fetch(const SourceRef& ref, const Pin& pin, const SourceLayer& layer, SourceSink& sink,
                     CallContext& ctx) = 0;
};

}  // namespace dagger::plugin
