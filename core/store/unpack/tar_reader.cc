#include "core/store/unpack/tar_reader.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <optional>

#include "dagger/plugin/error.h"

namespace dagger::store {
namespace {

constexpr std::size_t block_size = 512;
constexpr std::uint64_t max_header = 1 << 20;  // of long names and PAX records: holds several attributes of 64 KiB
constexpr std::size_t max_segments = 1 << 20;
constexpr std::uint64_t max_size = std::uint64_t{1} << 62;
constexpr std::string_view xattr_key = "SCHILY.xattr.";
constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t max_seconds = 9'000'000'000;  // the year 2255: as nanoseconds they fit into 64 bits

[[noreturn]] void malformed(const std::string& what) { throw Error(Code::corrupt_data, "malformed tar: " + what); }

// A field of text ends at its first NUL.
std::string text_field(std::string_view header, std::size_t at, std::size_t size) {
  const auto field = header.substr(at, size);
  return std::string(field.substr(0, field.find('\0')));
}

// Octal digits between spaces and NULs, or a big-endian two's complement number behind a byte with its top bit set.
std::int64_t number_field(std::string_view header, std::size_t at, std::size_t size) {
  std::string_view field = header.substr(at, size);
  const auto first = static_cast<unsigned char>(field[0]);
  if ((first & 0x80) != 0) {
    std::int64_t value = (first & 0x40) != 0 ? -1 : 0;
    for (std::size_t i = 0; i < field.size(); ++i) {
      const auto byte = static_cast<unsigned char>(i == 0 ? first & 0x7f : field[i]);
      const std::int64_t digit = i == 0 && value < 0 ? (byte | 0x80) - 256 : byte;
      if (i == 0) {
        value = digit;
        continue;
      }
      if (value > std::numeric_limits<std::int64_t>::max() / 256 ||
          value < std::numeric_limits<std::int64_t>::min() / 256)
        malformed("a number is out of range");
      value = value * 256 + digit;
    }
    return value;
  }
  const auto blank = [](char c) { return c == ' ' || c == '\0'; };
  while (!field.empty() && blank(field.front())) field.remove_prefix(1);
  while (!field.empty() && blank(field.back())) field.remove_suffix(1);
  std::int64_t value = 0;
  if (field.empty()) return 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (error != std::errc() || value < 0 || (end != field.data() + field.size() && !blank(*end)))
    malformed("a number is no number");
  return value;
}

std::uint64_t decimal(std::string_view text, const char* what) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max_size)
    malformed(std::string(what) + " is no number");
  return value;
}

std::uint32_t id_number(std::int64_t value) {
  if (value < 0 || value > std::numeric_limits<std::uint32_t>::max()) malformed("an owner is out of range");
  return static_cast<std::uint32_t>(value);
}

// A time that no clock shows is nobody's: 1970, as other engines have it.
bool sensible(std::int64_t seconds) { return seconds >= -max_seconds && seconds <= max_seconds; }

// "123.456": seconds with a fraction of any length; what is finer than a nanosecond is cut.
std::int64_t pax_time(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto dot = text.find('.');
  const std::uint64_t whole = decimal(text.substr(0, dot), "a time");
  std::int64_t ns = 0, unit = second / 10;
  for (std::size_t i = dot == std::string_view::npos ? text.size() : dot + 1; i < text.size(); ++i, unit /= 10) {
    if (text[i] < '0' || text[i] > '9') malformed("a time is no number");
    ns += (text[i] - '0') * unit;
  }
  if (!sensible(static_cast<std::int64_t>(whole))) return 0;
  const std::int64_t value = static_cast<std::int64_t>(whole) * second + ns;
  return negative ? -value : value;
}

void check_sum(std::string_view header) {
  std::int64_t unsigned_sum = 0, signed_sum = 0;
  for (std::size_t i = 0; i < block_size; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : header[i];
    unsigned_sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  const std::int64_t said = number_field(header, 148, 8);
  if (said != unsigned_sum && said != signed_sum) malformed("a header's checksum is wrong");
}

TarType type_of(char flag, const std::string& name) {
  switch (flag) {
    case '0':
    case '7':
    case 'S':
      return TarType::file;
    case '\0':
      return name.ends_with('/') ? TarType::directory : TarType::file;
    case '1':
      return TarType::hard_link;
    case '2':
      return TarType::symlink;
    case '3':
      return TarType::char_device;
    case '4':
      return TarType::block_device;
    case '5':
      return TarType::directory;
    case '6':
      return TarType::fifo;
    default:
      malformed("entry " + name + " has the unknown type '" + std::string(1, flag) + "'");
  }
}

// Every byte of the data must have one place, in order.
void check_segments(const TarEntry& entry, std::uint64_t stored) {
  std::uint64_t at = 0, sum = 0;
  for (const auto& s : entry.segments) {
    if (s.offset < at || s.size > max_size || s.offset > max_size || s.offset + s.size > entry.size)
      malformed("the map of sparse file " + entry.name + " is wrong");
    at = s.offset + s.size;
    sum += s.size;
  }
  if (sum != stored) malformed("the map of sparse file " + entry.name + " does not fit its data");
}

}  // namespace

// What PAX records and GNU long names say about the next entry.
struct TarReader::Extended {
  std::map<std::string, std::string> pax;
  std::vector<std::string> offsets, counts;  // GNU.sparse 0.0 repeats its keys
  std::optional<std::string> name, link;

  void parse(std::string_view text);
  std::optional<std::string> take(const char* key) const {
    const auto at = pax.find(key);
    if (at == pax.end()) return std::nullopt;
    return at->second;
  }
};

// Records: "<length> <key>=<value>\n", the length counting all of the record.
void TarReader::Extended::parse(std::string_view text) {
  while (!text.empty()) {
    const auto space = text.find(' ');
    if (space == std::string_view::npos) malformed("a PAX record has no length");
    const std::uint64_t length = decimal(text.substr(0, space), "the length of a PAX record");
    if (length <= space + 1 || length > text.size() || text[length - 1] != '\n')
      malformed("the length of a PAX record is wrong");
    const auto record = text.substr(space + 1, length - space - 2);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) malformed("a PAX record has no key");
    std::string key(record.substr(0, equals)), value(record.substr(equals + 1));
    text.remove_prefix(length);
    if (key == "GNU.sparse.offset")
      offsets.push_back(std::move(value));
    else if (key == "GNU.sparse.numbytes")
      counts.push_back(std::move(value));
    else if (value.empty() && !key.starts_with(xattr_key))
      pax.erase(key);  // what the header says holds
    else
      pax.insert_or_assign(std::move(key), std::move(value));
  }
}

bool TarReader::block(std::string& out) {
  out.clear();
  while (out.size() < block_size) {
    const auto piece = source_(block_size - out.size());
    if (piece.empty()) {
      if (out.empty()) return false;
      malformed("truncated in a header");
    }
    out += piece;
  }
  return true;
}

std::string_view TarReader::need(std::size_t max) {
  const auto piece = source_(max);
  if (piece.empty()) malformed("truncated in an entry's data");
  return piece;
}

std::string_view TarReader::data(std::size_t max) {
  if (left_ == 0) return {};
  const auto piece = need(static_cast<std::size_t>(std::min<std::uint64_t>(left_, max)));
  left_ -= piece.size();
  return piece;
}

void TarReader::skip_data() {
  while (!data().empty()) continue;
  while (padding_ != 0) padding_ -= need(padding_).size();
}

std::string TarReader::long_text(std::uint64_t size, const char* what) {
  if (size > max_header) malformed(std::string(what) + " is too long");
  left_ = size;
  padding_ = -size % block_size;
  std::string out;
  for (auto piece = data(); !piece.empty(); piece = data()) out += piece;
  skip_data();
  return out;
}

bool TarReader::next(TarEntry& entry) {
  skip_data();
  Extended extended;
  std::string header;
  for (;;) {
    if (!block(header)) return false;
    if (header.find_first_not_of('\0') == std::string::npos) return false;
    check_sum(header);
    const std::int64_t size = number_field(header, 124, 12);
    if (size < 0 || static_cast<std::uint64_t>(size) > max_size) malformed("a size is out of range");
    const char flag = header[156];
    const auto bytes = static_cast<std::uint64_t>(size);
    if (flag == 'x') {
      extended.parse(long_text(bytes, "a PAX header"));
    } else if (flag == 'g') {
      long_text(bytes, "a global PAX header");  // only comments are seen in practice
    } else if (flag == 'L' || flag == 'K') {
      std::string text = long_text(bytes, "a long name");
      text.resize(std::min(text.size(), text.find('\0')));
      (flag == 'L' ? extended.name : extended.link) = std::move(text);
    } else {
      entry = TarEntry{};
      entry.name = text_field(header, 0, 100);
      const bool ustar = header.compare(257, 6, std::string_view("ustar\0", 6)) == 0;
      const std::string prefix = ustar ? text_field(header, 345, 155) : "";
      if (!prefix.empty()) entry.name.insert(0, prefix + "/");
      if (extended.name) entry.name = *extended.name;
      entry.type = type_of(flag, entry.name);
      entry.link = extended.link ? *extended.link : text_field(header, 157, 100);
      entry.mode = static_cast<std::uint32_t>(number_field(header, 100, 8)) & 07777;
      if (!extended.pax.contains("uid")) entry.uid = id_number(number_field(header, 108, 8));
      if (!extended.pax.contains("gid")) entry.gid = id_number(number_field(header, 116, 8));
      const std::int64_t seconds = number_field(header, 136, 12);
      entry.mtime_ns = sensible(seconds) ? seconds * second : 0;
      if (entry.type == TarType::char_device || entry.type == TarType::block_device) {
        entry.major = id_number(number_field(header, 329, 8));
        entry.minor = id_number(number_field(header, 337, 8));
      }
      entry.size = bytes;
      left_ = bytes;
      if (flag == 'S') gnu_sparse_map(header, entry);
      finish(entry, extended);
      return true;
    }
  }
}

// header: of an entry of type 'S'; more of the map may follow in blocks of its own.
void TarReader::gnu_sparse_map(const std::string& header, TarEntry& entry) {
  entry.sparse = true;
  const std::int64_t real = number_field(header, 483, 12);
  if (real < 0) malformed("a size is out of range");
  entry.size = static_cast<std::uint64_t>(real);
  const auto take = [&entry](const std::string& from, std::size_t at, int count) {
    for (int i = 0; i < count && from[at] != '\0'; ++i, at += 24) {
      const std::int64_t offset = number_field(from, at, 12), size = number_field(from, at + 12, 12);
      if (offset < 0 || size < 0) malformed("the map of sparse file " + entry.name + " is wrong");
      entry.segments.push_back({static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(size)});
    }
  };
  take(header, 386, 4);
  bool more = header[482] != '\0';
  std::string next;
  while (more) {
    if (!block(next)) malformed("truncated in the map of a sparse file");
    take(next, 0, 21);
    if (entry.segments.size() > max_segments) malformed("the map of sparse file " + entry.name + " is too long");
    more = next[504] != '\0';
  }
}

// PAX format 1.0: the map is in front of the data, as decimal lines, padded to a block.
void TarReader::stored_sparse_map(TarEntry& entry) {
  std::string text;
  std::size_t at = 0;
  const auto line = [&] {
    std::size_t end;
    while ((end = text.find('\n', at)) == std::string::npos) {
      if (text.size() - at > 64 || left_ < block_size) malformed("the map of sparse file " + entry.name + " is wrong");
      text.erase(0, at);
      at = 0;
      for (std::size_t got = 0; got < block_size;) {
        const auto piece = data(block_size - got);
        text += piece;
        got += piece.size();
      }
    }
    const std::uint64_t value = decimal(std::string_view(text).substr(at, end - at), "a sparse map's entry");
    at = end + 1;
    return value;
  };
  const std::uint64_t count = line();
  if (count > max_segments) malformed("the map of sparse file " + entry.name + " is too long");
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t offset = line();
    entry.segments.push_back({offset, line()});
  }
}

void TarReader::finish(TarEntry& entry, Extended& extended) {
  const auto& pax = extended.pax;
  if (const auto v = extended.take("path")) entry.name = *v;
  if (const auto v = extended.take("linkpath")) entry.link = *v;
  if (const auto v = extended.take("uid")) entry.uid = id_number(static_cast<std::int64_t>(decimal(*v, "an owner")));
  if (const auto v = extended.take("gid")) entry.gid = id_number(static_cast<std::int64_t>(decimal(*v, "an owner")));
  if (const auto v = extended.take("mtime")) entry.mtime_ns = pax_time(*v);
  if (const auto v = extended.take("size")) {
    left_ = decimal(*v, "a size");
    if (!entry.sparse) entry.size = left_;
  }
  for (auto at = pax.lower_bound(std::string(xattr_key)); at != pax.end() && at->first.starts_with(xattr_key); ++at)
    entry.xattrs.emplace_back(at->first.substr(xattr_key.size()), at->second);
  if (entry.type != TarType::file) {
    left_ = 0;
    entry.size = 0;
  }
  padding_ = -left_ % block_size;

  const auto major = extended.take("GNU.sparse.major");
  if (major == "1" && extended.take("GNU.sparse.minor") == "0") {
    entry.sparse = true;
    entry.size = decimal(extended.take("GNU.sparse.realsize").value_or(""), "a sparse file's size");
    stored_sparse_map(entry);
  } else if (pax.contains("GNU.sparse.map") || !extended.offsets.empty()) {
    entry.sparse = true;
    entry.size = decimal(extended.take("GNU.sparse.size").value_or(""), "a sparse file's size");
    if (const auto map = extended.take("GNU.sparse.map")) {
      std::string_view rest = *map;
      while (!rest.empty()) {
        const auto comma = rest.find(',');
        auto& list = extended.offsets.size() > extended.counts.size() ? extended.counts : extended.offsets;
        list.emplace_back(rest.substr(0, comma));
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
      }
    }
    if (extended.offsets.size() != extended.counts.size() || extended.offsets.size() > max_segments)
      malformed("the map of sparse file " + entry.name + " is wrong");
    for (std::size_t i = 0; i < extended.offsets.size(); ++i)
      entry.segments.push_back(
          {decimal(extended.offsets[i], "a sparse map's entry"), decimal(extended.counts[i], "a sparse map's entry")});
  }
  if (const auto v = extended.take("GNU.sparse.name")) entry.name = *v;
  if (entry.sparse) check_segments(entry, left_);
  if (entry.name.find('\0') != std::string::npos || entry.link.find('\0') != std::string::npos)
    malformed("a name contains a NUL");
}

}  // namespace dagger::store
