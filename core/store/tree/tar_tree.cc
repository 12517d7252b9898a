#include "core/store/tree/tar_tree.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <vector>

#include "core/base/fs.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/tar_writer.h"
#include "core/store/tree/tree_ops.h"
#include "core/store/tree/walk.h"

namespace dagger::store::tree {
namespace {

constexpr const char* opaque_name = ".wh..wh..opq";

TarType type_of(mode_t mode) {
  if (S_ISDIR(mode)) return TarType::directory;
  if (S_ISLNK(mode)) return TarType::symlink;
  if (S_ISCHR(mode)) return TarType::char_device;
  if (S_ISBLK(mode)) return TarType::block_device;
  return S_ISFIFO(mode) ? TarType::fifo : TarType::file;
}

class TarStream final : public plugin::ByteStream {
 public:
  TarStream(bool layer, plugin::CallContext& ctx) : layer_(layer), ctx_(ctx) {}

  void begin_directory(UniqueFd dir) { enter(std::move(dir), ""); }
  void begin_layer(UniqueFd dir, bool opaque_root) {
    const bool marked = header("./", stat_of(dir.get()), dir.get(), ".") || opaque_root;
    if (marked) mark(opaque_name);
    enter(std::move(dir), "");
  }
  void begin_file(const std::string& name, UniqueFd file) {
    header(name, stat_of(file.get()), -1, "");
    begin_data(std::move(file));
  }

  std::size_t read(void* buffer, std::size_t size) override {
    while (at_ == ready_.size() && !finished_) {
      if (ctx_.cancelled()) throw Error(Code::cancelled, "cancelled while a tar was made");
      ready_.clear();
      at_ = 0;
      advance();
    }
    const auto n = std::min(size, ready_.size() - at_);
    std::memcpy(buffer, ready_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  struct Level {
    UniqueFd dir;
    std::string path;
    std::vector<std::string> names;
    std::size_t next = 0;
  };

  void enter(UniqueFd dir, std::string path) {
    if (levels_.size() >= max_depth) throw Error(Code::invalid_argument, path + ": directories are nested too deep");
    auto names = sorted_names(dir.get());
    levels_.push_back({std::move(dir), std::move(path), std::move(names)});
  }

  // One more piece: of the open file, or the next entry, or the end.
  void advance() {
    if (file_) return data();
    while (!levels_.empty() && levels_.back().next == levels_.back().names.size()) levels_.pop_back();
    if (levels_.empty()) {
      finished_ = true;
      ready_ = tar_end();
      return;
    }
    auto& level = levels_.back();
    entry(level.dir.get(), level.path, level.names[level.next++]);
  }

  void entry(int dir, const std::string& up, const std::string& name) {
    const auto st = stat_at(dir, name);
    const std::string path = up.empty() ? name : up + "/" + name;
    if (S_ISSOCK(st.st_mode)) return;
    if (layer_ && is_whiteout(st)) return mark((up.empty() ? "" : up + "/") + ".wh." + name);
    if (S_ISDIR(st.st_mode)) {
      if (header(path + "/", st, dir, name)) mark(path + "/" + opaque_name);
      return enter(open_dir_at(dir, name), path);
    }
    if (layer_ && st.st_nlink > 1) {
      const auto [first, fresh] = linked_.try_emplace({st.st_dev, st.st_ino}, path);
      if (!fresh) return hard_link(path, st, first->second);
    }
    header(path, st, dir, name);
    if (S_ISREG(st.st_mode)) begin_data(open_at(dir, name, O_RDONLY | O_NOFOLLOW));
  }

  static TarEntry entry_of(const std::string& path, const struct stat& st) {
    TarEntry e;
    e.name = path;
    e.type = type_of(st.st_mode);
    e.mode = st.st_mode & 07777;
    e.uid = st.st_uid;
    e.gid = st.st_gid;
    e.mtime_ns = mtime_ns(st);
    return e;
  }
  // Whether the entry is an opaque directory.
  bool header(const std::string& path, const struct stat& st, int dir, const std::string& name) {
    TarEntry e = entry_of(path, st);
    bool opaque = false;
    if (S_ISREG(st.st_mode)) e.size = left_ = static_cast<std::uint64_t>(st.st_size);
    if (S_ISLNK(st.st_mode)) e.link = read_link_at(dir, name);
    if (e.type == TarType::char_device || e.type == TarType::block_device) {
      e.major = major(st.st_rdev);
      e.minor = minor(st.st_rdev);
    }
    if (layer_)
      for (auto& [attribute, value] : read_xattrs(dir, name)) {
        if (!is_overlay_mark(attribute))
          e.xattrs.emplace_back(attribute, std::move(value));
        else if (attribute.ends_with(".opaque"))
          opaque = value == "y";
      }
    ready_ += tar_header(e);
    return opaque;
  }
  void hard_link(const std::string& path, const struct stat& st, const std::string& first) {
    TarEntry e = entry_of(path, st);
    e.type = TarType::hard_link;
    e.link = first;
    ready_ += tar_header(e);
  }
  // An empty file that stands for something that is not there.
  void mark(const std::string& path) {
    TarEntry e;
    e.name = path;
    ready_ += tar_header(e);
  }

  void begin_data(UniqueFd file) {
    padding_ = tar_padding(left_);
    if (left_ != 0) file_ = std::move(file);
  }
  void data() {
    constexpr std::size_t piece = 128 << 10;
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(piece, left_));
    ready_.resize(want);
    ssize_t n = -1;
    do n = ::read(file_.get(), ready_.data(), want);
    while (n < 0 && errno == EINTR);
    if (n < 0) throw_errno("read a file");
    if (n == 0) throw Error(Code::unavailable, "a file became shorter while it was being read");
    ready_.resize(static_cast<std::size_t>(n));
    left_ -= static_cast<std::uint64_t>(n);
    if (left_ != 0) return;
    ready_ += padding_;
    file_.reset();
  }

  const bool layer_;
  plugin::CallContext& ctx_;
  std::string ready_, padding_;
  std::size_t at_ = 0;
  bool finished_ = false;
  UniqueFd file_;  // whose data is being sent
  std::uint64_t left_ = 0;
  std::vector<Level> levels_;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;  // first names of files with several
};

}  // namespace

std::unique_ptr<plugin::ByteStream> tar_tree(int root_fd, const std::string& path, plugin::CallContext& ctx) {
  auto stream = std::make_unique<TarStream>(false, ctx);
  const auto top = open_in_root(root_fd, path, O_PATH);
  if (S_ISDIR(stat_of(top.get()).st_mode))
    stream->begin_directory(reopen_dir(top.get()));
  else
    stream->begin_file(base_name(path), open_file(root_fd, path));
  return stream;
}

std::unique_ptr<plugin::ByteStream> tar_layer(UniqueFd dir, bool opaque_root, plugin::CallContext& ctx) {
  auto stream = std::make_unique<TarStream>(true, ctx);
  stream->begin_layer(std::move(dir), opaque_root);
  return stream;
}

}  // namespace dagger::store::tree
