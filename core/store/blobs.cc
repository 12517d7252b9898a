#include "core/store/blobs.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <vector>

#include "core/base/fs.h"
#include "core/store/index.h"
#include "core/store/journal.h"
#include "core/store/layout.h"
#include "core/store/tree/dir.h"

namespace dagger::store {
namespace {

Digest digest_of(int fd) {
  Sha256 hash;
  std::vector<char> buffer(1 << 17);
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read");
    if (n == 0) return hash.finish();
    hash.update(buffer.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace

Digest Blobs::put(std::string_view data) {
  const Digest digest = Digest::of(data);
  if (index_.blob(digest)) return digest;
  std::string path = layout_.scratch() + "/blob-XXXXXX";
  const UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) throw_errno("make a file in " + layout_.scratch());
  try {
    write_all(fd.get(), data);
    publish(path, digest, data.size());
  } catch (const Error& e) {
    ::unlink(path.c_str());
    throw Error(e).in("write a blob");
  }
  return digest;
}

Digest Blobs::put_file(const std::string& path) {
  const auto fd = open_file(path, O_RDONLY | O_NOFOLLOW);
  const Digest digest = digest_of(fd.get());
  publish(path, digest, static_cast<std::uint64_t>(stat_of(fd.get()).st_size));
  return digest;
}

void Blobs::publish(const std::string& file, const Digest& digest, std::uint64_t size) {
  const std::string place = layout_.blob(digest);
  const std::lock_guard lock(publishing_);
  if (index_.blob(digest)) {
    ::unlink(file.c_str());
    return;
  }
  make_dirs(parent_path(place), 0700);
  if (::rename(file.c_str(), place.c_str()) != 0) throw_errno("rename " + file + " to " + place);
  index_.put_blob(digest, size);
  journal_.add(PutBlob{digest, size});
}

UniqueFd Blobs::open(const Digest& digest) const {
  const auto size = index_.blob(digest);
  if (!size) throw Error(Code::not_found, "blob " + digest.str() + " is not in the store");
  UniqueFd fd(::open(layout_.blob(digest).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno != ENOENT) throw_errno("open blob " + digest.str());
  if (fd && static_cast<std::uint64_t>(stat_of(fd.get()).st_size) == *size) return fd;
  const std::lock_guard lock(publishing_);
  if (index_.drop_blob(digest)) journal_.add(DropBlob{digest});
  throw Error(Code::not_found, "blob " + digest.str() + " is damaged, and forgotten now");
}

void Blobs::remove_if_unknown(const Digest& digest) {
  const std::lock_guard lock(publishing_);
  if (!index_.blob(digest)) ::unlink(layout_.blob(digest).c_str());
}

}  // namespace dagger::store
