#include "core/store/tree/tar_tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <deque>

#include "core/base/fs.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/tree_ops.h"
#include "core/store/tree/walk.h"

namespace dagger::store::tree {
namespace {

struct FreeArchive {
  void operator()(archive* a) const noexcept { archive_write_free(a); }
};
struct FreeEntry {
  void operator()(archive_entry* e) const noexcept { archive_entry_free(e); }
};

class TarTree final : public plugin::ByteStream {
 public:
  TarTree(int root, const std::string& path, plugin::CallContext& ctx) : ctx_(ctx), archive_(archive_write_new()) {
    archive_write_set_format_pax_restricted(archive_.get());
    archive_write_set_bytes_per_block(archive_.get(), 0);
    check(archive_write_open(archive_.get(), this, nullptr, on_write, nullptr));
    top_ = open_in_root(root, path, O_PATH);
    const auto st = stat_of(top_.get());
    if (S_ISDIR(st.st_mode)) {
      enter(reopen_dir(top_.get()), "");
    } else {
      header(base_name(path), st, -1, "");
      open_ = open_file(root, path);
    }
  }

  std::size_t read(void* buffer, std::size_t size) override {
    while (ready_.size() == at_ && !finished_) {
      ready_.clear();
      at_ = 0;
      if (ctx_.cancelled()) throw Error(Code::cancelled, "cancelled while archiving");
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
  static la_ssize_t on_write(archive*, void* self, const void* data, std::size_t size) {
    static_cast<TarTree*>(self)->ready_.append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  }
  void check(la_ssize_t result) const {
    if (result < ARCHIVE_WARN) throw Error(Code::internal, std::string("tar: ") + archive_error_string(archive_.get()));
  }
  void enter(UniqueFd dir, std::string path) {
    if (levels_.size() >= max_depth) throw Error(Code::invalid_argument, path + ": directories are nested too deep");
    auto names = sorted_names(dir.get());
    levels_.push_back({std::move(dir), std::move(path), std::move(names)});
  }
  void header(const std::string& name, const struct stat& st, int dir, const std::string& entry_name) {
    const std::unique_ptr<archive_entry, FreeEntry> e(archive_entry_new());
    archive_entry_copy_stat(e.get(), &st);
    archive_entry_set_nlink(e.get(), 1);  // each name travels with its content
    archive_entry_copy_pathname(e.get(), name.c_str());
    if (S_ISLNK(st.st_mode)) archive_entry_copy_symlink(e.get(), read_link_at(dir, entry_name).c_str());
    if (!S_ISREG(st.st_mode)) archive_entry_set_size(e.get(), 0);
    check(archive_write_header(archive_.get(), e.get()));
  }
  // One more piece: of the open file, or the next entry, or the end.
  void advance() {
    if (open_) return content();
    while (!levels_.empty() && levels_.back().next == levels_.back().names.size()) levels_.pop_back();
    if (levels_.empty()) {
      finished_ = true;
      check(archive_write_close(archive_.get()));
      return;
    }
    auto& level = levels_.back();
    const std::string name = level.names[level.next++];
    const auto st = stat_at(level.dir.get(), name);
    const std::string path = level.path.empty() ? name : level.path + "/" + name;
    if (S_ISSOCK(st.st_mode)) return;
    header(path, st, level.dir.get(), name);
    if (S_ISDIR(st.st_mode))
      enter(open_dir_at(level.dir.get(), name), path);
    else if (S_ISREG(st.st_mode))
      open_ = open_at(level.dir.get(), name, O_RDONLY | O_NOFOLLOW);
  }
  void content() {
    char buffer[1 << 16];
    const ssize_t n = ::read(open_.get(), buffer, sizeof buffer);
    if (n < 0) throw_errno("read a file");
    if (n == 0) {
      open_.reset();
      check(archive_write_finish_entry(archive_.get()));
      return;
    }
    check(archive_write_data(archive_.get(), buffer, static_cast<std::size_t>(n)));
  }

  plugin::CallContext& ctx_;
  std::string ready_;
  std::size_t at_ = 0;
  bool finished_ = false;
  UniqueFd top_, open_;
  std::vector<Level> levels_;
  std::unique_ptr<archive, FreeArchive> archive_;  // first to go: its end may still call on_write
};

}  // namespace

std::unique_ptr<plugin::ByteStream> tar_tree(int root_fd, const std::string& path, plugin::CallContext& ctx) {
  return std::make_unique<TarTree>(root_fd, path, ctx);
}

}  // namespace dagger::store::tree
