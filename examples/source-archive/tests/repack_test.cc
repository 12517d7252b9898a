#include "repack.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace source_archive {
namespace {

using dagger::UniqueFd;
using dagger::plugin::CallContext;

class Context final : public CallContext {
 public:
  bool cancelled() const noexcept override { return cancel_after-- == 0; }
  int cancel_fd() const noexcept override { return -1; }
  void log(dagger::plugin::LogLevel, std::string_view) noexcept override {}
  void progress(std::string_view, std::int64_t, std::int64_t) noexcept override {}
  std::optional<dagger::plugin::Credentials> credentials(std::string_view) override { return std::nullopt; }
  UniqueFd open_socket(std::string_view) override { return UniqueFd(); }
  UniqueFd open_secret(std::string_view) override { return UniqueFd(); }
  mutable int cancel_after = -1;
};

struct Entry {
  std::string name, content, link;
  unsigned type = AE_IFREG;
};

using Format = int (*)(::archive*);

UniqueFd pack(const std::vector<Entry>& entries, Format format = archive_write_set_format_pax,
              Format filter = archive_write_add_filter_none) {
  const Utf8Locale utf8;
  const Utf8Locale::Use use(utf8);
  UniqueFd file(::memfd_create("archive", MFD_CLOEXEC));
  auto* a = archive_write_new();
  EXPECT_EQ(format(a), ARCHIVE_OK);
  EXPECT_EQ(filter(a), ARCHIVE_OK);
  archive_write_open_fd(a, file.get());
  for (const auto& e : entries) {
    auto* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.name.c_str());
    archive_entry_set_filetype(entry, e.type);
    archive_entry_set_perm(entry, 0640);
    archive_entry_set_mtime(entry, 1'000'000'000, 0);
    archive_entry_set_size(entry, static_cast<la_int64_t>(e.content.size()));
    if (!e.link.empty()) {
      if (e.type == AE_IFLNK)
        archive_entry_set_symlink(entry, e.link.c_str());
      else
        archive_entry_set_hardlink(entry, e.link.c_str());
    }
    EXPECT_GE(archive_write_header(a, entry), ARCHIVE_WARN) << archive_error_string(a);
    archive_write_data(a, e.content.data(), e.content.size());
    archive_entry_free(entry);
  }
  archive_write_free(a);
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string repacked(int file, int strip = 0, RepackLimits limits = {1 << 20, 100}, int cancel_after = -1) {
  const Utf8Locale utf8;
  Context ctx;
  ctx.cancel_after = cancel_after;
  Repack stream(file, "archive:x", strip, limits, utf8, ctx);
  std::string out;
  char buffer[1000];
  while (const auto n = stream.read(buffer, sizeof buffer)) out.append(buffer, n);
  return out;
}

// "name=content" or "name->link" of each entry.
std::vector<std::string> listed(const std::string& tar) {
  const Utf8Locale utf8;
  const Utf8Locale::Use use(utf8);
  auto* a = archive_read_new();
  archive_read_support_format_tar(a);
  EXPECT_EQ(archive_read_open_memory(a, tar.data(), tar.size()), ARCHIVE_OK);
  std::vector<std::string> out;
  for (::archive_entry* e = nullptr; archive_read_next_header(a, &e) == ARCHIVE_OK;) {
    std::string content(static_cast<std::size_t>(archive_entry_size(e)), '\0');
    archive_read_data(a, content.data(), content.size());
    const char* link = archive_entry_hardlink(e) != nullptr ? archive_entry_hardlink(e) : archive_entry_symlink(e);
    out.push_back(archive_entry_pathname(e) + (link != nullptr ? "->" + std::string(link) : "=" + content));
  }
  archive_read_free(a);
  return out;
}

template <class F>
std::string error_of(F&& f) {
  try {
    f();
    return "none";
  } catch (const dagger::Error& e) {
    return std::string(dagger::code_name(e.code())) + ": " + e.what();
  }
}

using Lines = std::vector<std::string>;

TEST(Repack, GivesATarOfEveryForm) {
  const std::vector<Entry> entries = {{"a/b", "one", ""}, {"a/\xc3\xbc", "", ""}};
  for (const auto filter : {archive_write_add_filter_none, archive_write_add_filter_gzip,
                            archive_write_add_filter_bzip2, archive_write_add_filter_xz, archive_write_add_filter_zstd})
    EXPECT_EQ(listed(repacked(pack(entries, archive_write_set_format_pax, filter).get())),
              (Lines{"a/b=one", "a/\xc3\xbc="}));
  EXPECT_EQ(listed(repacked(pack(entries, archive_write_set_format_zip).get())), (Lines{"a/b=one", "a/\xc3\xbc="}));
  EXPECT_EQ(listed(repacked(pack(entries, archive_write_set_format_7zip).get())).size(), 2U);
  EXPECT_EQ(listed(repacked(pack(entries, archive_write_set_format_gnutar).get())), (Lines{"a/b=one", "a/\xc3\xbc="}));
}

TEST(Repack, StripsNamesAndHardLinksButNotSymlinks) {
  const auto file =
      pack({{"top", "", "", AE_IFDIR}, {"top/f", "x", ""}, {"top/h", "", "top/f"}, {"top/s", "", "top/f", AE_IFLNK}});
  EXPECT_EQ(listed(repacked(file.get(), 1)), (Lines{"f=x", "h->f", "s->top/f"}));
}

TEST(Repack, TellsWhenNothingIsLeft) {
  const auto file = pack({{"top/f", "x", ""}});
  EXPECT_EQ(error_of([&] { repacked(file.get(), 2); }),
            "invalid_argument: archive:x: strip=2 leaves nothing; its entries are like \"top/f\"");
}

TEST(Repack, RefusesNamesThatMeanSomethingElse) {
  struct Case {
    const char *name, *why;
    int strip;
  };
  for (const auto& c : {Case{"a/../../b", "\"..\"", 0}, Case{"../b", "\"..\"", 1}, Case{"a/.wh.b", "remove files", 0},
                        Case{"a/.wh..wh..opq", "remove files", 1}}) {
    const auto file = pack({{c.name, "", ""}});
    const auto error = error_of([&] { repacked(file.get(), c.strip); });
    EXPECT_EQ(error.rfind("corrupt_data: archive:x: entry", 0), 0U) << error;
    EXPECT_NE(error.find(c.why), std::string::npos) << error;
  }
  const auto link = pack({{"a/h", "", "../x"}});
  EXPECT_NE(error_of([&] { repacked(link.get()); }).find("\"..\""), std::string::npos);
  const auto gone = pack({{"f", "", ""}, {"a/h", "", "f"}});
  EXPECT_NE(error_of([&] { repacked(gone.get(), 1); }).find("smaller strip"), std::string::npos);
}

TEST(Repack, KeepsToItsLimits) {
  const auto file = pack({{"a", std::string(1000, 'x'), ""}, {"b", std::string(1000, 'x'), ""}});
  EXPECT_NE(error_of([&] { repacked(file.get(), 0, {1999, 10}); }).find("max_unpacked_bytes"), std::string::npos);
  ::lseek(file.get(), 0, SEEK_SET);
  EXPECT_NE(error_of([&] { repacked(file.get(), 0, {2000, 1}); }).find("max_entries"), std::string::npos);
  ::lseek(file.get(), 0, SEEK_SET);
  EXPECT_EQ(listed(repacked(file.get(), 0, {2000, 2})).size(), 2U);
}

TEST(Repack, CountsWhatStripLeavesOut) {
  const auto file = pack({{"big", std::string(5000, 'x'), ""}, {"a/b", "", ""}});
  EXPECT_NE(error_of([&] { repacked(file.get(), 1, {4000, 10}); }).find("max_unpacked_bytes"), std::string::npos);
}

TEST(Repack, KeepsHolesAsHoles) {
  const std::int64_t size = 8 << 20;
  UniqueFd file(::memfd_create("sparse", MFD_CLOEXEC));
  auto* a = archive_write_new();
  archive_write_set_format_pax(a);
  archive_write_open_fd(a, file.get());
  auto* entry = archive_entry_new();
  archive_entry_set_pathname(entry, "sparse");
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_size(entry, size);
  archive_entry_sparse_add_entry(entry, size - 4096, 4096);
  archive_write_header(a, entry);
  archive_write_data(a, std::string(size, 'x').data(), size);
  archive_entry_free(entry);
  archive_write_free(a);
  ::lseek(file.get(), 0, SEEK_SET);
  const auto tar = repacked(file.get(), 0, {size, 1});
  EXPECT_LT(tar.size(), 20000U);
  const auto entries = listed(tar);
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].size(), std::string("sparse=").size() + size);
}

TEST(Repack, TellsWhatIsDamaged) {
  const auto text = UniqueFd(::memfd_create("text", MFD_CLOEXEC));
  ASSERT_EQ(::pwrite(text.get(), "<html>not found</html>", 22, 0), 22);
  EXPECT_EQ(error_of([&] { repacked(text.get()); }).rfind("corrupt_data: archive:x is no tar, zip or 7z archive", 0),
            0U);
  const auto cut = pack({{"a", std::string(9000, 'x'), ""}});
  ASSERT_EQ(::ftruncate(cut.get(), 4096), 0);
  EXPECT_EQ(error_of([&] { repacked(cut.get()); }).rfind("corrupt_data: archive:x is damaged at entry \"a\"", 0), 0U);
}

TEST(Repack, StopsWhenItIsCancelled) {
  const auto file = pack({{"a", std::string(900000, 'x'), ""}});
  for (const int after : {0, 1, 3})
    EXPECT_EQ(error_of([&] {
                ::lseek(file.get(), 0, SEEK_SET);
                repacked(file.get(), 0, {1 << 20, 100}, after);
              }),
              "cancelled: archive:x: cancelled");
}

TEST(Repack, LeavesTheLocaleAsItWas) {
  const auto before = ::uselocale(nullptr);
  repacked(pack({{"a", "x", ""}}).get());
  EXPECT_EQ(::uselocale(nullptr), before);
}

}  // namespace
}  // namespace source_archive
