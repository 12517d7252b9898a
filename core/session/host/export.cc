#include "core/session/host/export.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "core/base/fs.h"

namespace dagger::session {
namespace {

constexpr unsigned target_directory_mode = 0700;

struct FreeArchive {
  void operator()(archive* a) const { ::archive_read_free(a); }
};

// A tar that comes in a Stream. An exception of the stream waits here until libarchive has returned.
class TarReader {
 public:
  explicit TarReader(link::Stream& in) : in_(in), archive_(::archive_read_new()) {
    ::archive_read_support_format_tar(archive_.get());
    check(::archive_read_open(archive_.get(), this, nullptr, &TarReader::read, nullptr));
  }
  // The next entry, or null at the end.
  archive_entry* next() {
    archive_entry* entry = nullptr;
    const int status = ::archive_read_next_header(archive_.get(), &entry);
    if (status == ARCHIVE_EOF) return nullptr;
    check(status);
    return entry;
  }
  void copy_data(int fd) {
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    for (;;) {
      const int status = ::archive_read_data_block(archive_.get(), &block, &size, &offset);
      if (status == ARCHIVE_EOF) return;
      check(status);
      if (::lseek(fd, offset, SEEK_SET) < 0) throw_errno("seek in exported file");
      write_all(fd, {static_cast<const char*>(block), size});
    }
  }

 private:
  static la_ssize_t read(archive* a, void* self, const void** buffer) {
    auto& reader = *static_cast<TarReader*>(self);
    try {
      reader.piece_ = reader.in_.read();
    } catch (...) {
      reader.error_ = std::current_exception();
      ::archive_set_error(a, EIO, "the stream failed");
      return -1;
    }
    *buffer = reader.piece_.data();
    return static_cast<la_ssize_t>(reader.piece_.size());
  }
  void check(int status) {
    if (error_) std::rethrow_exception(error_);
    if (status == ARCHIVE_OK || status == ARCHIVE_WARN) return;
    const char* text = ::archive_error_string(archive_.get());
    throw Error(Code::corrupt_data, std::string("the exported archive is malformed: ") + (text ? text : "unknown"));
  }
  link::Stream& in_;
  std::string piece_;
  std::exception_ptr error_;
  std::unique_ptr<archive, FreeArchive> archive_;
};

std::string safe_path(const char* raw) {
  if (raw == nullptr) throw Error(Code::corrupt_data, "the exported archive has an entry without a name");
  const std::string_view name = raw;
  for (std::size_t at = 0; at <= name.size();) {
    const auto slash = std::min(name.find('/', at), name.size());
    if (name.substr(at, slash - at) == "..")
      throw Error(Code::corrupt_data,
                  "the exported archive has an entry that leaves it: \"" + std::string(name) + "\"");
    at = slash + 1;
  }
  return clean_path(name);
}

struct Times {
  timespec values[2];
};
Times times_of(archive_entry* entry) {
  const timespec modified{::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry)};
  return {{modified, modified}};
}

// Lays entries over one directory. A directory's mode and times are set at the end: they must not be in the way before.
class Unpacker {
 public:
  explicit Unpacker(const std::string& target) : target_(target) {
    make_dirs(target, target_directory_mode);
    root_ = open_file(target, O_PATH | O_DIRECTORY);
  }

  void add(archive_entry* entry, TarReader& tar) {
    const auto path = safe_path(::archive_entry_pathname(entry));
    if (::archive_entry_filetype(entry) == AE_IFDIR) return add_directory(path, entry);
    if (path == "/") throw Error(Code::corrupt_data, "the exported archive replaces its own root");
    const auto parent = make_dirs_in_root(root_.get(), parent_path(path));
    const auto name = base_name(path);
    if (::unlinkat(parent.get(), name.c_str(), 0) != 0 && errno != ENOENT) throw_errno("replace " + target_ + path);
    if (const char* other = ::archive_entry_hardlink(entry)) return add_hard_link(parent.get(), name, other);
    switch (::archive_entry_filetype(entry)) {
      case AE_IFREG:
        return add_file(parent.get(), name, entry, tar);
      case AE_IFLNK:
        return add_link(parent.get(), name, entry);
      case AE_IFIFO:
        if (::mkfifoat(parent.get(), name.c_str(), ::archive_entry_perm(entry) & 0777) != 0)
          throw_errno("make fifo " + target_ + path);
        return;
      default:
        return;
    }
  }

  void finish() {
    for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) {
      const auto fd = open_in_root_nofollow(root_.get(), at->path, O_RDONLY | O_DIRECTORY);
      if (::fchmod(fd.get(), at->mode) != 0 || ::futimens(fd.get(), at->times.values) != 0)
        throw_errno("set mode and times of " + target_ + at->path);
    }
  }

 private:
  struct NewDirectory {
    std::string path;
    mode_t mode;
    Times times;
  };

  void add_directory(const std::string& path, archive_entry* entry) {
    if (path == "/") return;
    const auto parent = make_dirs_in_root(root_.get(), parent_path(path));
    if (::mkdirat(parent.get(), base_name(path).c_str(), target_directory_mode) == 0)
      directories_.push_back({path, static_cast<mode_t>(::archive_entry_perm(entry) & 07777), times_of(entry)});
    else if (errno != EEXIST)
      throw_errno("make directory " + target_ + path);
  }
  void add_file(int parent, const std::string& name, archive_entry* entry, TarReader& tar) {
    const auto fd = open_at(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    tar.copy_data(fd.get());
    if (::ftruncate(fd.get(), ::archive_entry_size(entry)) != 0 ||  // a hole at the end
        ::fchmod(fd.get(), ::archive_entry_perm(entry) & 07777) != 0 ||
        ::futimens(fd.get(), times_of(entry).values) != 0)
      throw_errno("finish " + target_ + "/.../" + name);
  }
  void add_link(int parent, const std::string& name, archive_entry* entry) {
    const char* link = ::archive_entry_symlink(entry);
    if (link == nullptr) throw Error(Code::corrupt_data, "the exported archive has a link without a target");
    if (::symlinkat(link, parent, name.c_str()) != 0) throw_errno("make link " + target_ + "/.../" + name);
    const auto times = times_of(entry);
    if (::utimensat(parent, name.c_str(), times.values, AT_SYMLINK_NOFOLLOW) != 0)
      throw_errno("set times of link " + target_ + "/.../" + name);
  }
  void add_hard_link(int parent, const std::string& name, const char* other) {
    const auto path = safe_path(other);
    const auto source = open_in_root(root_.get(), parent_path(path), O_PATH | O_DIRECTORY);
    if (::linkat(source.get(), base_name(path).c_str(), parent, name.c_str(), 0) != 0)
      throw_errno("link " + target_ + "/.../" + name + " to " + path);
  }

  std::string target_;
  UniqueFd root_;
  std::vector<NewDirectory> directories_;
};

}  // namespace

void unpack_directory(link::Stream& in, const std::string& target) {
  TarReader tar(in);
  Unpacker unpacker(target);
  while (auto* entry = tar.next()) unpacker.add(entry, tar);
  unpacker.finish();
}

std::string file_target(const std::string& requested, const std::string& name, bool into_directory) {
  struct stat st{};
  if (::stat(requested.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) return requested;
  if (!into_directory)
    throw Error(Code::invalid_argument, "destination \"" + requested +
                                            "\" is a directory; must be a file path unless allowParentDirPath is set");
  return join_path(requested, name);
}

void unpack_file(link::Stream& in, const std::string& target) {
  const auto parent_name = parent_path(target);
  make_dirs(parent_name, target_directory_mode);
  const TempDir beside(parent_name, ".dagger-export-");
  {
    TarReader tar(in);
    Unpacker unpacker(beside.path());
    auto* entry = tar.next();
    if (entry == nullptr || ::archive_entry_filetype(entry) != AE_IFREG)
      throw Error(Code::corrupt_data, "the runner sent no file to export");
    ::archive_entry_set_pathname(entry, "file");
    unpacker.add(entry, tar);
    if (tar.next() != nullptr) throw Error(Code::corrupt_data, "the runner sent more than one file to export");
  }
  if (::rename((beside.path() + "/file").c_str(), target.c_str()) != 0) throw_errno("write " + target);
}

}  // namespace dagger::session
