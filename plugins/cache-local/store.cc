#include "plugins/cache-local/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

#include <nlohmann/json.hpp>

#include "plugins/common/base/json.h"
#include "plugins/common/base/sha256.h"

namespace dagger::cache_local {
namespace {

constexpr std::size_t max_key = 1024;
constexpr std::size_t chunk = 256 << 10;
constexpr std::time_t stale_after = 24 * 3600;  // no write takes that long; by the file system's clock
constexpr const char* record_magic = "dagger record 1";

[[noreturn]] void throw_errno(const std::string& what) {
  const int number = errno;
  const Code code = number == ENOSPC || number == EDQUOT                     ? Code::no_space
                    : number == EACCES || number == EPERM || number == EROFS ? Code::permission_denied
                                                                             : Code::unavailable;
  throw Error(code, what + ": " + std::generic_category().message(number));
}

void throw_if_cancelled(const plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "the work on the local cache was cancelled");
}

// "blobs/ab/abcd..."; only hexadecimal digits are ever in it.
std::string place(const char* kind, const std::string& hex) {
  return std::string(kind) + "/" + hex.substr(0, 2) + "/" + hex;
}

std::string blob_place(const std::string& digest) {
  if (!plugin_base::is_sha256_digest(digest))
    throw Error(Code::invalid_argument,
                "\"" + digest.substr(0, 100) + "\" is no digest: sha256: and 64 hexadecimal digits");
  return place("blobs", digest.substr(sizeof("sha256:") - 1));
}

std::string record_place(const std::string& key) {
  if (key.empty() || key.size() > max_key || key.find('\n') != std::string::npos)
    throw Error(Code::invalid_argument,
                "a record's key must have 1 to " + std::to_string(max_key) + " characters on one line");
  return place("records", plugin_base::sha256_hex(key));
}

void make_dir(int root, const std::string& name) {
  if (::mkdirat(root, name.c_str(), 0777) != 0 && errno != EEXIST)
    throw_errno("cannot make " + name + " of the local cache");
}

std::string record_header(const std::string& key, const std::string& record) {
  return std::string(record_magic) + "\n" + key + "\n" + plugin_base::sha256_digest(record) + "\n";
}

// Reads a part of a blob from an fd of its own: goes on working when the blob is removed meanwhile.
class BlobReader final : public plugin::ByteStream {
 public:
  BlobReader(UniqueFd fd, std::int64_t offset, std::int64_t length) : fd_(std::move(fd)), at_(offset), left_(length) {}
  std::size_t read(void* buffer, std::size_t size) override {
    if (left_ >= 0) size = static_cast<std::size_t>(std::min<std::int64_t>(static_cast<std::int64_t>(size), left_));
    ssize_t n = 0;
    do n = ::pread(fd_.get(), buffer, size, at_);
    while (n < 0 && errno == EINTR);
    if (n < 0) throw_errno("cannot read a blob of the local cache");
    at_ += n;
    if (left_ >= 0) left_ -= n;
    return static_cast<std::size_t>(n);
  }

 private:
  UniqueFd fd_;
  std::int64_t at_, left_;  // left_ < 0: to the end
};

}  // namespace

// A file in tmp/ that either takes its final name or goes away.
class LocalCache::NewFile {
 public:
  explicit NewFile(const LocalCache& cache) : root_(cache.root_.get()) {
    unsigned char random[16];
    if (::getrandom(random, sizeof random, 0) != sizeof random) throw_errno("cannot make a random name");
    name_ = "tmp/" + plugin_base::sha256_hex({reinterpret_cast<const char*>(random), sizeof random}).substr(0, 32);
    fd_.reset(::openat(root_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!fd_) throw_errno("cannot write to the local cache " + cache.path_);
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (!name_.empty()) ::unlinkat(root_, name_.c_str(), 0);
  }

  void write(std::string_view data) {
    while (!data.empty()) {
      const ssize_t n = ::write(fd_.get(), data.data(), data.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw_errno("cannot write to the local cache");
      data.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  // On disk before it is seen: after power loss a name never stands for half a file.
  void become(const std::string& final_name) {
    if (::fdatasync(fd_.get()) != 0) throw_errno("cannot write to the local cache");
    make_dir(root_, final_name.substr(0, final_name.rfind('/')));
    if (::renameat(root_, name_.c_str(), root_, final_name.c_str()) != 0)
      throw_errno("cannot write to the local cache");
    name_.clear();
  }

 private:
  int root_;
  std::string name_;
  UniqueFd fd_;
};

LocalCache::LocalCache(plugin::Host&, std::string_view config_json) {
  const auto settings = plugin_base::parse_settings(config_json);
  plugin_base::check_keys(settings, "settings", {"path"});
  path_ = plugin_base::string_setting(settings, "settings", "path", "");
  if (path_.empty() || path_.front() != '/')
    throw Error(Code::invalid_argument, "settings.path must be the absolute path of the cache directory");
  for (std::size_t slash = path_.find('/', 1);; slash = path_.find('/', slash + 1)) {
    const std::string part = path_.substr(0, slash);
    if (::mkdir(part.c_str(), 0777) != 0 && errno != EEXIST && errno != EISDIR)
      throw_errno("cannot make the cache directory " + part);
    if (slash == std::string::npos) break;
  }
  const std::string root = path_ + "/v1";
  make_dir(AT_FDCWD, root);
  root_.reset(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_) throw_errno("cannot open the cache directory " + root);
  for (const char* name : {"records", "blobs", "tmp"}) make_dir(root_.get(), name);
  remove_stale_files();
}

// What a runner left that was killed while writing.
void LocalCache::remove_stale_files() noexcept {
  const int fd = ::openat(root_.get(), "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = fd < 0 ? nullptr : ::fdopendir(fd);
  if (dir == nullptr) {
    if (fd >= 0) ::close(fd);
    return;
  }
  const std::time_t now = std::time(nullptr);
  while (const dirent* entry = ::readdir(dir)) {
    struct stat status{};
    if (::fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) continue;
    if (now - status.st_mtime > stale_after) ::unlinkat(fd, entry->d_name, 0);
  }
  ::closedir(dir);
}

std::optional<std::string> LocalCache::read_record(const std::string& key) const {
  const UniqueFd fd(::openat(root_.get(), record_place(key).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) throw_errno("cannot read a record of the local cache");
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw_errno("cannot read a record of the local cache");
  if (status.st_size < 0 || static_cast<std::size_t>(status.st_size) > plugin::max_record_bytes + 2 * max_key)
    return std::nullopt;
  std::string whole(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t have = 0;
  while (have < whole.size()) {
    const ssize_t n = ::read(fd.get(), whole.data() + have, whole.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read a record of the local cache");
    if (n == 0) return std::nullopt;
    have += static_cast<std::size_t>(n);
  }
  const std::size_t header_size = record_header(key, "").size();
  if (whole.size() < header_size) return std::nullopt;
  std::string record = whole.substr(header_size);
  if (whole.compare(0, header_size, record_header(key, record)) != 0) return std::nullopt;
  return record;
}

std::vector<std::pair<std::string, std::string>> LocalCache::records(const std::vector<std::string>& keys,
                                                                     plugin::CallContext& ctx) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& key : keys) {
    throw_if_cancelled(ctx);
    if (auto record = read_record(key)) out.emplace_back(key, std::move(*record));
  }
  return out;
}

void LocalCache::put_record(const std::string& key, const std::string& record, const std::vector<std::string>&,
                            plugin::CallContext& ctx) {
  throw_if_cancelled(ctx);
  const std::string name = record_place(key);
  NewFile file(*this);
  file.write(record_header(key, record));
  file.write(record);
  file.become(name);
}

std::vector<std::string> LocalCache::missing(const std::vector<std::string>& digests, plugin::CallContext& ctx) {
  throw_if_cancelled(ctx);
  std::vector<std::string> out;
  for (const std::string& digest : digests)
    if (::faccessat(root_.get(), blob_place(digest).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) out.push_back(digest);
  return out;
}

std::unique_ptr<plugin::ByteStream> LocalCache::read_blob(const std::string& digest, std::int64_t offset,
                                                          std::int64_t length, plugin::CallContext& ctx) {
  throw_if_cancelled(ctx);
  if (offset < 0) throw Error(Code::invalid_argument, "the offset into " + digest + " is negative");
  UniqueFd fd(::openat(root_.get(), blob_place(digest).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) throw Error(Code::not_found, "the local cache " + path_ + " has no blob " + digest);
  if (!fd) throw_errno("cannot read blob " + digest + " of the local cache");
  return std::make_unique<BlobReader>(std::move(fd), offset, length);
}

void LocalCache::write_blob(const std::string& digest, std::int64_t size, plugin::ByteStream& stream,
                            plugin::CallContext& ctx) {
  const std::string name = blob_place(digest);
  NewFile file(*this);
  plugin_base::Sha256 hash;
  std::string buffer(chunk, '\0');
  std::int64_t total = 0;
  while (const std::size_t n = stream.read(buffer.data(), buffer.size())) {
    throw_if_cancelled(ctx);
    total += static_cast<std::int64_t>(n);
    if (size >= 0 && total > size) break;
    hash.update({buffer.data(), n});
    file.write({buffer.data(), n});
  }
  throw_if_cancelled(ctx);
  if (size >= 0 && total != size)
    throw Error(Code::corrupt_data, "blob " + digest + " has " + (total > size ? "more" : "less") +
                                        " than the announced " + std::to_string(size) + " bytes; not stored");
  if ("sha256:" + hash.finish() != digest)
    throw Error(Code::corrupt_data, "the bytes given for blob " + digest + " have another digest; not stored");
  file.become(name);
}

void LocalCache::touch(const std::vector<std::string>& keys_and_digests, plugin::CallContext& ctx) {
  throw_if_cancelled(ctx);
  for (const std::string& name : keys_and_digests) {
    ::utimensat(root_.get(), record_place(name).c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
    if (plugin_base::is_sha256_digest(name))
      ::utimensat(root_.get(), blob_place(name).c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  }
}

}  // namespace dagger::cache_local
