// An archive of any form that libarchive reads, as the tar stream that the engine unpacks.
//
// Reads tar (plain, gzip, bzip2, xz, zstd), zip and 7z from a file; gives pax tar. Every piece is made when it is asked
// for. Errors: corrupt_data, invalid_argument (larger than the limits, nothing is left), cancelled. One thread.
#pragma once
#include <dagger/plugin/plugin.h>
#include <locale.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct archive;
struct archive_entry;

namespace source_archive {

// libarchive translates names between the archive's charset and that of the locale; the engine's locale is none of a
// plugin's business, so a call of libarchive runs with this one, set for the calling thread alone. [thread-safe]
class Utf8Locale {
 public:
  Utf8Locale();  // throws unsupported
  ~Utf8Locale();
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

  class Use {
   public:
    explicit Use(const Utf8Locale& l) : before_(::uselocale(l.locale_)) {}
    ~Use() { ::uselocale(before_); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    const locale_t before_;
  };

 private:
  locale_t locale_;
};

struct RepackLimits {
  std::int64_t bytes = 0;    // of all files' contents
  std::int64_t entries = 0;  // those that strip leaves out included
};

// The name without its first components; none if it has no more than those. "./a//b" is "a/b", "/a" is "a".
// name: of the reference, for messages.
std::optional<std::string> stripped(std::string_view entry, int strip, const std::string& name);

class Repack final : public dagger::plugin::ByteStream {
 public:
  // file: positioned at 0, outlives this object, as do locale and ctx.
  Repack(int file, std::string name, int strip, const RepackLimits& limits, const Utf8Locale& locale,
         dagger::plugin::CallContext& ctx);
  ~Repack() override;
  Repack(const Repack&) = delete;
  Repack& operator=(const Repack&) = delete;

  std::size_t read(void* buffer, std::size_t size) override;

 private:
  struct Output {
    std::string bytes;
    bool wanted = true;
  };
  struct FreeReader {
    void operator()(::archive* a) const noexcept;
  };
  struct FreeWriter {
    void operator()(::archive* a) const noexcept;
  };
  static std::ptrdiff_t append(::archive*, void* to, const void* data, std::size_t size);
  void open_reader(int file);
  void open_writer();
  void step();
  void next_entry();
  void take(::archive_entry* entry);
  void next_piece();
  void finish();
  void count_bytes(std::int64_t more);
  [[noreturn]] void fail(::archive* from, const std::string& doing) const;

  const std::string name_;
  const int strip_;
  const RepackLimits limits_;
  const Utf8Locale& locale_;
  dagger::plugin::CallContext& ctx_;
  std::vector<char> piece_;
  Output made_;              // written, not yet read
  std::size_t made_at_ = 0;  // of which so much was read
  std::string entry_;        // the one at hand
  std::int64_t left_ = 0;    // of its content
  bool in_entry_ = false, writing_ = false, ended_ = false;
  std::int64_t bytes_ = 0, entries_ = 0, written_ = 0;
  std::unique_ptr<::archive, FreeReader> reader_;
  std::unique_ptr<::archive, FreeWriter> writer_;
};

}  // namespace source_archive
