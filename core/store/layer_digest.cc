#include "core/store/layer_digest.h"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "core/base/cbor.h"
#include "core/base/fs.h"
#include "core/store/tree/dir.h"

namespace dagger::store {
namespace {

constexpr int max_depth = 400;  // each level holds an fd

// Ends the walk: there is no digest.
struct Impossible {};

// Marks with a meaning that a digest of the files does not catch.
bool changes_content(std::string_view mark) {
  return mark.ends_with(".opaque") || mark.ends_with(".redirect") || mark.ends_with(".metacopy") ||
         mark.ends_with(".whiteout");
}

class Walk {
 public:
  explicit Walk(const std::atomic<bool>& stop) : stop_(stop), buffer_(1 << 18) {}

  LayerDigests directory(int dir, int depth) {
    if (stop_ || depth > max_depth) throw Impossible{};
    cbor::Writer content, exact;
    for (const auto& name : sorted_names(dir)) entry(dir, name, depth, content, exact);
    return {Digest::of(content.str()), Digest::of(exact.str())};
  }

  // Type, attributes and what is in it: one array in each of the two.
  void attributes(const struct stat& st, int dir, const std::string& name, cbor::Writer& content, cbor::Writer& exact) {
    bool opaque = false;
    cbor::Writer marks;
    for (const auto& [attribute, value] : read_xattrs(dir, name)) {
      if (!is_overlay_mark(attribute))
        marks.bytes(attribute).bytes(value);
      else if (attribute.ends_with(".opaque") && value == "y")
        opaque = true;
      else if (changes_content(attribute))
        throw Impossible{};
    }
    for (auto* out : {&content, &exact})
      out->uint(st.st_mode).uint(st.st_uid).uint(st.st_gid).boolean(opaque).bytes(marks.str());
    exact.integer(mtime_ns(st));
  }

 private:
  void entry(int dir, const std::string& name, int depth, cbor::Writer& content, cbor::Writer& exact) {
    const struct stat st = stat_at(dir, name);
    for (auto* out : {&content, &exact}) out->bytes(name);
    if (is_whiteout(st)) {
      for (auto* out : {&content, &exact}) out->null();
      return;
    }
    attributes(st, dir, name, content, exact);
    if (S_ISDIR(st.st_mode)) {
      const auto child = open_dir_at(dir, name);
      const auto below = directory(child.get(), depth + 1);
      content.bytes(below.content.raw());
      exact.bytes(below.exact.raw());
      return;
    }
    std::string what;
    if (S_ISREG(st.st_mode)) what = file(dir, name).raw();
    if (S_ISLNK(st.st_mode)) what = read_link_at(dir, name);
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) what = std::to_string(st.st_rdev);
    for (auto* out : {&content, &exact}) out->bytes(what);
  }

  Digest file(int dir, const std::string& name) {
    const auto fd = open_at(dir, name, O_RDONLY | O_NOFOLLOW);
    Sha256 hash;
    for (;;) {
      if (stop_) throw Impossible{};
      const ssize_t n = ::read(fd.get(), buffer_.data(), buffer_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw_errno("read " + name);
      if (n == 0) return hash.finish();
      hash.update(buffer_.data(), static_cast<std::size_t>(n));
    }
  }

  const std::atomic<bool>& stop_;
  std::vector<char> buffer_;
};

}  // namespace

std::optional<LayerDigests> digest_layer(int dir, const std::atomic<bool>& stop) {
  try {
    Walk walk(stop);
    cbor::Writer content, exact;
    walk.attributes(stat_of(dir), dir, ".", content, exact);
    const auto below = walk.directory(dir, 0);
    content.bytes(below.content.raw());
    exact.bytes(below.exact.raw());
    return LayerDigests{Digest::of(content.str()), Digest::of(exact.str())};
  } catch (const Impossible&) {
    return std::nullopt;
  }
}

}  // namespace dagger::store
