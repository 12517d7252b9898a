#include "core/base/cbor.h"

#include "dagger/plugin/error.h"

namespace dagger::cbor {
namespace {

enum Major : unsigned {
  unsigned_integer = 0,
  negative_integer = 1,
  byte_string = 2,
  text_string = 3,
  array_of = 4,
  simple = 7
};
constexpr unsigned char simple_false = 0xf4, simple_true = 0xf5, simple_null = 0xf6;

[[noreturn]] void bad(const char* why) { throw Error(Code::corrupt_data, std::string("malformed CBOR: ") + why); }

}  // namespace

void Writer::head(unsigned major, std::uint64_t v) {
  const auto first = [&](unsigned low) { out_ += static_cast<char>((major << 5) | low); };
  const auto big_endian = [&](int size) {
    for (int shift = (size - 1) * 8; shift >= 0; shift -= 8) out_ += static_cast<char>((v >> shift) & 0xff);
  };
  if (v < 24) return first(static_cast<unsigned>(v));
  if (v <= 0xff) return first(24), big_endian(1);
  if (v <= 0xffff) return first(25), big_endian(2);
  if (v <= 0xffffffff) return first(26), big_endian(4);
  first(27), big_endian(8);
}

Writer& Writer::uint(std::uint64_t v) { return head(unsigned_integer, v), *this; }
Writer& Writer::integer(std::int64_t v) {
  if (v >= 0) return uint(static_cast<std::uint64_t>(v));
  return head(negative_integer, ~static_cast<std::uint64_t>(v)), *this;
}
Writer& Writer::boolean(bool v) { return out_ += static_cast<char>(v ? simple_true : simple_false), *this; }
Writer& Writer::null() { return out_ += static_cast<char>(simple_null), *this; }
Writer& Writer::bytes(std::string_view v) { return head(byte_string, v.size()), out_ += v, *this; }
Writer& Writer::text(std::string_view v) { return head(text_string, v.size()), out_ += v, *this; }
Writer& Writer::array(std::size_t n) { return head(array_of, n), *this; }
Writer& Writer::raw(std::string_view encoded) { return out_ += encoded, *this; }
Writer& Writer::texts(const std::vector<std::string>& v) {
  array(v.size());
  for (const auto& s : v) text(s);
  return *this;
}

std::string_view Reader::take(std::uint64_t n) {
  if (n > in_.size() - at_) bad("it ends too early");
  const auto part = in_.substr(at_, static_cast<std::size_t>(n));
  at_ += part.size();
  return part;
}

std::uint64_t Reader::head(unsigned major) {
  const auto first = static_cast<unsigned char>(take(1)[0]);
  if (first >> 5 != major) bad("another type was expected");
  const unsigned low = first & 31;
  if (low < 24) return low;
  if (low > 27) bad("indefinite or reserved length");
  std::uint64_t v = 0;
  for (const char c : take(1ULL << (low - 24))) v = (v << 8) | static_cast<unsigned char>(c);
  constexpr std::uint64_t least[] = {24, 0x100, 0x10000, 0x100000000};
  if (v < least[low - 24]) bad("an integer is not in its shortest form");
  return v;
}

std::uint64_t Reader::uint() { return head(unsigned_integer); }

std::int64_t Reader::integer() {
  if (at_ < in_.size() && static_cast<unsigned char>(in_[at_]) >> 5 == negative_integer) {
    const std::uint64_t v = head(negative_integer);
    if (v > static_cast<std::uint64_t>(INT64_MAX)) bad("an integer is out of range");
    return -1 - static_cast<std::int64_t>(v);
  }
  const std::uint64_t v = uint();
  if (v > static_cast<std::uint64_t>(INT64_MAX)) bad("an integer is out of range");
  return static_cast<std::int64_t>(v);
}

bool Reader::boolean() {
  const auto b = static_cast<unsigned char>(take(1)[0]);
  if (b != simple_true && b != simple_false) bad("a boolean was expected");
  return b == simple_true;
}

bool Reader::null() {
  if (at_ >= in_.size() || static_cast<unsigned char>(in_[at_]) != simple_null) return false;
  ++at_;
  return true;
}

std::string_view Reader::bytes() { return take(head(byte_string)); }
std::string_view Reader::text() { return take(head(text_string)); }

std::size_t Reader::array() {
  const std::uint64_t n = head(array_of);
  if (n > in_.size() - at_) bad("an array is longer than its bytes");  // an item takes one byte at least
  return static_cast<std::size_t>(n);
}
void Reader::array(std::size_t expected) {
  if (array() != expected) bad("an array has another length");
}

std::vector<std::string> Reader::texts() {
  std::vector<std::string> v;  // grows with what is really there
  for (std::size_t n = array(); n > 0; --n) v.emplace_back(text());
  return v;
}

std::string_view Reader::item() {
  const std::size_t start = at_;
  for (std::size_t left = 1; left > 0; --left) {  // flat: arrays add their items to what is left
    const unsigned major = at_ < in_.size() ? static_cast<unsigned char>(in_[at_]) >> 5 : 8;
    switch (major) {
      case unsigned_integer:
      case negative_integer:
        head(major);
        break;
      case byte_string:
      case text_string:
        take(head(major));
        break;
      case array_of:
        left += array();
        break;
      case simple:
        if (!null()) boolean();
        break;
      default:
        bad("an unknown type");
    }
  }
  return in_.substr(start, at_ - start);
}

void Reader::expect_end() const {
  if (!end()) bad("bytes after the end");
}

}  // namespace dagger::cbor
