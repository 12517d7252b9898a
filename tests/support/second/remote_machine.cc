#include "tests/support/second/remote_machine.h"

#include <archive.h>
#include <archive_entry.h>

#include <array>
#include <memory>

#include "core/base/fs.h"

namespace dagger::testing {
namespace {

constexpr std::size_t max_file = 64 << 20;

struct Reading {
  plugin::ByteStream& stream;
  std::array<char, 64 * 1024> buffer;
  std::exception_ptr error;
};

// libarchive is C: an exception must not cross it.
la_ssize_t read_some(archive* a, void* data, const void** out) {
  auto& r = *static_cast<Reading*>(data);
  try {
    *out = r.buffer.data();
    return static_cast<la_ssize_t>(r.stream.read(r.buffer.data(), r.buffer.size()));
  } catch (...) {
    r.error = std::current_exception();
    archive_set_error(a, EIO, "the stream failed");
    return -1;
  }
}

la_ssize_t append(archive*, void* data, const void* bytes, std::size_t n) {
  static_cast<std::string*>(data)->append(static_cast<const char*>(bytes), n);
  return static_cast<la_ssize_t>(n);
}

[[noreturn]] void fail(archive* a) {
  throw Error(Code::corrupt_data, std::string("layer tar: ") + archive_error_string(a));
}

std::string content_of(archive* a) {
  std::string content;
  std::array<char, 64 * 1024> buffer;
  la_ssize_t n;
  while ((n = archive_read_data(a, buffer.data(), buffer.size())) > 0) {
    content.append(buffer.data(), static_cast<std::size_t>(n));
    if (content.size() > max_file) throw Error(Code::no_space, "a file does not fit in the machine's memory");
  }
  if (n < 0) fail(a);
  return content;
}

}  // namespace

void RemoteTree::apply_tar(plugin::ByteStream& stream) {
  const std::unique_ptr<archive, int (*)(archive*)> a(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(a.get());
  archive_read_support_format_empty(a.get());
  archive_read_support_filter_all(a.get());
  Reading reading{stream, {}, nullptr};
  const auto check = [&](int result) {
    if (reading.error) std::rethrow_exception(reading.error);
    if (result != ARCHIVE_OK && result != ARCHIVE_EOF && result != ARCHIVE_WARN) fail(a.get());
    return result;
  };
  check(archive_read_open(a.get(), &reading, nullptr, read_some, nullptr));
  archive_entry* entry = nullptr;
  while (check(archive_read_next_header(a.get(), &entry)) != ARCHIVE_EOF) {
    const auto path = clean_path(archive_entry_pathname(entry));
    const auto name = base_name(path);
    if (name == ".wh..wh..opq")
      remove(parent_path(path));
    else if (name.rfind(".wh.", 0) == 0)
      remove(join_path(parent_path(path), name.substr(4)));
    else if (archive_entry_filetype(entry) == AE_IFREG)
      files_[path] = content_of(a.get());
  }
  changes_.clear();
}

std::string RemoteTree::changes_tar() const {
  std::string out;
  const std::unique_ptr<archive, int (*)(archive*)> a(archive_write_new(), archive_write_free);
  archive_write_set_format_pax_restricted(a.get());
  archive_write_set_bytes_per_block(a.get(), 0);
  if (archive_write_open(a.get(), &out, nullptr, append, nullptr) != ARCHIVE_OK) fail(a.get());
  for (const auto& path : changes_) {
    const auto file = files_.find(path);
    const bool gone = file == files_.end();
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(), archive_entry_free);
    const auto name = gone ? join_path(parent_path(path), ".wh." + base_name(path)) : path;
    archive_entry_set_pathname(entry.get(), name.c_str() + 1);
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_mtime(entry.get(), 0, 0);
    archive_entry_set_size(entry.get(), gone ? 0 : static_cast<la_int64_t>(file->second.size()));
    if (archive_write_header(a.get(), entry.get()) != ARCHIVE_OK) fail(a.get());
    if (!gone && archive_write_data(a.get(), file->second.data(), file->second.size()) < 0) fail(a.get());
  }
  if (archive_write_close(a.get()) != ARCHIVE_OK) fail(a.get());
  return out;
}

std::optional<std::string> RemoteTree::read(const std::string& path) const {
  const auto found = files_.find(path);
  return found == files_.end() ? std::nullopt : std::optional(found->second);
}

void RemoteTree::write(const std::string& path, std::string content) {
  files_[path] = std::move(content);
  changes_.insert(path);
}

bool RemoteTree::remove(const std::string& path) {
  return std::erase_if(files_, [&](const auto& f) {
           const bool below = f.first == path || f.first.rfind(path + "/", 0) == 0;
           if (below) changes_.insert(f.first);
           return below;
         }) != 0;
}

}  // namespace dagger::testing
