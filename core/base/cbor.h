// core/base/cbor.h — the canonical binary encoding of ops, records and messages (RFC 8949, section 4.2.1: shortest
// integers, definite lengths; maps are not used, structs are arrays in field order).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dagger::cbor {

class Writer {
 public:
  Writer& uint(std::uint64_t v);
  Writer& integer(std::int64_t v);
  Writer& boolean(bool v);
  Writer& null();
  Writer& bytes(std::string_view v);
  Writer& text(std::string_view v);
  Writer& array(std::size_t n);  // n items follow
  Writer& texts(const std::vector<std::string>& v);
  Writer& raw(std::string_view encoded);  // an item that is encoded already
  const std::string& str() const& noexcept { return out_; }
  std::string str() && noexcept { return std::move(out_); }

 private:
  void head(unsigned major, std::uint64_t v);
  std::string out_;
};

// Reads what Writer wrote; refuses everything else (other types, non-shortest integers, lengths beyond the input) with
// Error{corrupt_data}. Views point into the input.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  std::uint64_t uint();
  std::int64_t integer();
  bool boolean();
  bool null();  // true and consumed if the next item is null
  std::string_view bytes();
  std::string_view text();
  std::size_t array();               // number of items; never more than bytes are left
  void array(std::size_t expected);  // throws when the length differs
  std::vector<std::string> texts();
  std::string_view item();  // the whole next item, encoded; nesting is bounded
  bool end() const noexcept { return at_ == in_.size(); }
  void expect_end() const;

 private:
  std::uint64_t head(unsigned major);
  std::string_view take(std::uint64_t n);
  std::string_view in_;
  std::size_t at_ = 0;
};

}  // namespace dagger::cbor
