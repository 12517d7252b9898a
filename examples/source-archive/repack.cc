#include "repack.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstring>

#include "errors.h"

namespace source_archive {
namespace {

using dagger::Code;
using dagger::Error;

constexpr std::size_t piece_size = 128 << 10;
constexpr const char* unreadable = "is no tar, zip or 7z archive that can be read";

}  // namespace

Utf8Locale::Utf8Locale() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
  if (locale_ == nullptr)
    throw Error(Code::unsupported, "this system has no locale C.UTF-8, which names in archives need; install libc-bin");
}
Utf8Locale::~Utf8Locale() { ::freelocale(locale_); }

std::optional<std::string> stripped(std::string_view entry, int strip, const std::string& name) {
  const auto refuse = [&](const char* why) {
    throw Error(Code::corrupt_data, name + ": entry \"" + shown(entry) + "\" " + why);
  };
  std::string out;
  int left_out = 0;
  bool any = false;
  for (std::size_t at = 0; at < entry.size();) {
    const auto end = std::min(entry.find('/', at), entry.size());
    const auto part = entry.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") refuse("has \"..\" in its name; pack the archive without");
    if (left_out < strip) {
      ++left_out;
      continue;
    }
    if (part.substr(0, 4) == ".wh.") refuse("has a name that layers use to remove files; rename it");
    if (any) out += '/';
    out += part;
    any = true;
  }
  if (!any && (strip > 0 || entry.empty())) return std::nullopt;
  return any ? out : ".";
}

void Repack::FreeReader::operator()(::archive* a) const noexcept { archive_read_free(a); }
void Repack::FreeWriter::operator()(::archive* a) const noexcept { archive_write_free(a); }

Repack::Repack(int file, std::string name, int strip, const RepackLimits& limits, const Utf8Locale& locale,
               dagger::plugin::CallContext& ctx)
    : name_(std::move(name)),
      strip_(strip),
      limits_(limits),
      locale_(locale),
      ctx_(ctx),
      piece_(piece_size),
      reader_(archive_read_new()),
      writer_(archive_write_new()) {
  const Utf8Locale::Use use(locale_);
  if (!reader_ || !writer_) throw Error(Code::no_space, name_ + ": out of memory");
  open_reader(file);
  open_writer();
}

// libarchive would complete what was not written to its end, with as many zeros as are missing.
Repack::~Repack() {
  const Utf8Locale::Use use(locale_);
  made_.wanted = false;
  writer_.reset();
  reader_.reset();
}

std::ptrdiff_t Repack::append(::archive*, void* to, const void* data, std::size_t size) {
  auto& output = *static_cast<Output*>(to);
  if (!output.wanted) return -1;
  try {
    output.bytes.append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  } catch (const std::exception&) {
    return -1;
  }
}

void Repack::open_reader(int file) {
  auto* a = reader_.get();
  // ARCHIVE_WARN would mean that this libarchive starts a program (xz, zstd) for it: refused.
  for (auto* support :
       {archive_read_support_filter_gzip, archive_read_support_filter_bzip2, archive_read_support_filter_xz,
        archive_read_support_filter_zstd, archive_read_support_format_tar, archive_read_support_format_zip,
        archive_read_support_format_7zip})
    if (support(a) != ARCHIVE_OK)
      throw Error(Code::unsupported, "this system's libarchive was built without a format that archives need");
  if (archive_read_open_fd(a, file, piece_size) != ARCHIVE_OK) fail(a, unreadable);
}

void Repack::open_writer() {
  auto* a = writer_.get();
  if (archive_write_set_format_pax(a) != ARCHIVE_OK ||
      archive_write_set_options(a, "hdrcharset=BINARY") != ARCHIVE_OK ||  // names stay the bytes that they are
      archive_write_set_bytes_per_block(a, 0) != ARCHIVE_OK ||
      archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
      archive_write_open(a, &made_, nullptr, &append, nullptr) != ARCHIVE_OK)
    fail(a, "cannot be repacked");
}

void Repack::fail(::archive* from, const std::string& doing) const {
  const char* why = archive_error_string(from);
  throw Error(archive_errno(from) == ENOMEM ? Code::no_space : Code::corrupt_data,
              name_ + " " + doing + ": " + (why != nullptr ? shown(why) : "no reason is known"));
}

std::size_t Repack::read(void* buffer, std::size_t size) {
  const Utf8Locale::Use use(locale_);
  while (made_at_ == made_.bytes.size()) {
    made_.bytes.clear();
    made_at_ = 0;
    if (ended_ || size == 0) return 0;
    if (ctx_.cancelled()) throw Error(Code::cancelled, name_ + ": cancelled");
    step();
  }
  const auto n = std::min(size, made_.bytes.size() - made_at_);
  std::memcpy(buffer, made_.bytes.data() + made_at_, n);
  made_at_ += n;
  return n;
}

void Repack::step() {
  if (in_entry_)
    next_piece();
  else
    next_entry();
}

void Repack::next_entry() {
  ::archive_entry* entry = nullptr;
  const int result = archive_read_next_header(reader_.get(), &entry);
  if (result == ARCHIVE_EOF) return finish();
  if (result < ARCHIVE_WARN)
    fail(reader_.get(), entries_ == 0 ? unreadable : "is damaged behind entry \"" + shown(entry_) + "\"");
  if (++entries_ > limits_.entries)
    throw Error(Code::invalid_argument, name_ + " has more than " + std::to_string(limits_.entries) +
                                            " entries; the operator may raise the setting max_entries");
  take(entry);
}

// Puts the entry's header into the output, if it is not left out. Its content is read in either case.
void Repack::take(::archive_entry* entry) {
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) throw Error(Code::corrupt_data, name_ + ": an entry's name cannot be read");
  entry_ = path;
  in_entry_ = true;
  writing_ = false;
  left_ = 0;
  const auto kept = stripped(entry_, strip_, name_);
  if (!kept) return;
  archive_entry_copy_pathname(entry, kept->c_str());
  if (const char* target = archive_entry_hardlink(entry)) {
    const auto link = stripped(target, strip_, name_);
    if (!link)
      throw Error(Code::invalid_argument, name_ + ": entry \"" + shown(entry_) +
                                              "\" is a hard link to what strip leaves out; use a smaller strip");
    archive_entry_copy_hardlink(entry, link->c_str());
    archive_entry_set_size(entry, 0);
  } else if (archive_entry_filetype(entry) == AE_IFREG) {
    if (archive_entry_size_is_set(entry) == 0)
      throw Error(Code::corrupt_data, name_ + ": entry \"" + shown(entry_) + "\" does not say its size");
    left_ = archive_entry_size(entry);
    if (left_ < 0 || left_ > limits_.bytes - bytes_) count_bytes(limits_.bytes - bytes_ + 1);
    writing_ = true;
  }
  // Names of owners mean something on the machine that packed the archive; the numbers are kept.
  archive_entry_copy_uname(entry, nullptr);
  archive_entry_copy_gname(entry, nullptr);
  if (archive_write_header(writer_.get(), entry) < ARCHIVE_WARN)
    fail(writer_.get(), "cannot be repacked: entry \"" + shown(entry_) + "\"");
  ++written_;
}

void Repack::count_bytes(std::int64_t more) {
  bytes_ += more;
  if (bytes_ > limits_.bytes)
    throw Error(Code::invalid_argument, name_ + " unpacks to more than " + std::to_string(limits_.bytes) +
                                            " bytes; the operator may raise the setting max_unpacked_bytes");
}

void Repack::next_piece() {
  const auto n = archive_read_data(reader_.get(), piece_.data(), piece_.size());
  const auto damaged = [&](const char* how) {
    throw Error(Code::corrupt_data, name_ + ": entry \"" + shown(entry_) + "\" is " + how + " than it says");
  };
  if (n < 0) fail(reader_.get(), "is damaged at entry \"" + shown(entry_) + "\"");
  if (n == 0) {
    if (left_ != 0) damaged("shorter");
    in_entry_ = false;
    return;
  }
  count_bytes(n);
  if (!writing_) return;
  if (n > left_) damaged("longer");
  left_ -= n;
  if (archive_write_data(writer_.get(), piece_.data(), static_cast<std::size_t>(n)) != n)
    fail(writer_.get(), "cannot be repacked");
}

void Repack::finish() {
  if (entries_ > 0 && written_ == 0)
    throw Error(Code::invalid_argument, name_ + ": strip=" + std::to_string(strip_) +
                                            " leaves nothing; its entries are like \"" + shown(entry_) + "\"");
  if (archive_write_close(writer_.get()) != ARCHIVE_OK) fail(writer_.get(), "cannot be repacked");
  ended_ = true;
}

}  // namespace source_archive
