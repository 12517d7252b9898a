#include "core/store/tree/tar_writer.h"

#include <string_view>

namespace dagger::store {
namespace {

constexpr std::size_t block = 512;
constexpr std::size_t max_text = 100;       // of a name or a link in a header
constexpr std::uint64_t max_id = 07777777;  // seven octal digits
constexpr std::uint64_t max_number = 077777777777;
constexpr std::int64_t second = 1'000'000'000;

void put(std::string& header, std::size_t at, std::string_view text) { header.replace(at, text.size(), text); }

void put_octal(std::string& header, std::size_t at, std::size_t digits, std::uint64_t value) {
  for (std::size_t i = digits; i != 0; value /= 8) header[at + --i] = static_cast<char>('0' + value % 8);
}

char flag_of(TarType type) {
  switch (type) {
    case TarType::file:
      return '0';
    case TarType::hard_link:
      return '1';
    case TarType::symlink:
      return '2';
    case TarType::char_device:
      return '3';
    case TarType::block_device:
      return '4';
    case TarType::directory:
      return '5';
    case TarType::fifo:
      return '6';
  }
  return '0';
}

void seal(std::string& header) {
  header.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put_octal(header, 148, 6, sum);
  header[154] = '\0';
}

// "<length> <key>=<value>\n": the length counts itself.
void add_record(std::string& records, std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (length != rest + std::to_string(length).size()) ++length;
  records += std::to_string(length) + " ";
  records += key;
  records += '=';
  records += value;
  records += '\n';
}

std::string decimal_time(std::int64_t ns) {
  const bool negative = ns < 0;
  const std::uint64_t whole = negative ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
  std::string fraction = std::to_string(whole % second + second).substr(1);
  fraction.resize(fraction.find_last_not_of('0') + 1);
  return (negative ? "-" : "") + std::to_string(whole / second) + (fraction.empty() ? "" : "." + fraction);
}

bool fits_time(std::int64_t ns) { return ns >= 0 && ns % second == 0; }  // the largest is far below max_number

std::string records_for(const TarEntry& e) {
  std::string out;
  for (const auto& [name, value] : e.xattrs) add_record(out, "SCHILY.xattr." + name, value);
  if (e.gid > max_id) add_record(out, "gid", std::to_string(e.gid));
  if (e.link.size() > max_text) add_record(out, "linkpath", e.link);
  if (!fits_time(e.mtime_ns)) add_record(out, "mtime", decimal_time(e.mtime_ns));
  if (e.name.size() > max_text) add_record(out, "path", e.name);
  if (e.size > max_number) add_record(out, "size", std::to_string(e.size));
  if (e.uid > max_id) add_record(out, "uid", std::to_string(e.uid));
  return out;
}

// What does not fit is cut, or zero: the PAX header says it.
std::string ustar_header(const TarEntry& e, char flag) {
  std::string h(block, '\0');
  put(h, 0, std::string_view(e.name).substr(0, max_text));
  put_octal(h, 100, 7, e.mode);
  put_octal(h, 108, 7, e.uid > max_id ? 0 : e.uid);
  put_octal(h, 116, 7, e.gid > max_id ? 0 : e.gid);
  put_octal(h, 124, 11, e.size > max_number ? 0 : e.size);
  put_octal(h, 136, 11, e.mtime_ns < 0 ? 0 : static_cast<std::uint64_t>(e.mtime_ns / second));
  h[156] = flag;
  put(h, 157, std::string_view(e.link).substr(0, max_text));
  put(h, 257,
      std::string_view("ustar\0"
                       "00",
                       8));
  put_octal(h, 329, 7, e.major);
  put_octal(h, 337, 7, e.minor);
  seal(h);
  return h;
}

}  // namespace

std::string tar_padding(std::uint64_t size) { return std::string(static_cast<std::size_t>(-size % block), '\0'); }
std::string tar_end() { return std::string(2 * block, '\0'); }

std::string tar_header(const TarEntry& entry) {
  const std::string records = records_for(entry);
  std::string out;
  if (!records.empty()) {
    TarEntry pax;
    pax.name = "PaxHeaders/entry";
    pax.mode = 0644;
    pax.size = records.size();
    out = ustar_header(pax, 'x') + records + tar_padding(records.size());
  }
  return out + ustar_header(entry, flag_of(entry.type));
}

}  // namespace dagger::store
