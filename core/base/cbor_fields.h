// core/base/cbor_fields.h — one list of fields per struct serves both directions.
//
//   template <class A> void fields(A& a, Point& p) { a.begin(2), a.field(p.x), a.field(p.y); }
//   std::string bytes = cbor::pack(point);  Point p = cbor::unpack<Point>(bytes);
//
// fields() is found by argument-dependent lookup; A is an Encoder or a Decoder. A Decoder throws Error{corrupt_data}.
#pragma once
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/cbor.h"
#include "core/base/digest.h"
#include "dagger/plugin/error.h"

namespace dagger::cbor {

using Pairs = std::vector<std::pair<std::string, std::string>>;

class Encoder {
 public:
  explicit Encoder(Writer& w) : w_(w) {}
  void begin(std::size_t n) { w_.array(n); }
  void field(const std::string& v) { w_.text(v); }
  void blob(const std::string& v) { w_.bytes(v); }
  void field(bool v) { w_.boolean(v); }
  void field(std::uint32_t v) { w_.uint(v); }
  void field(std::uint64_t v) { w_.uint(v); }
  void field(std::int32_t v) { w_.integer(v); }
  void field(std::int64_t v) { w_.integer(v); }
  void field(const Digest& v) { w_.bytes(v.raw()); }
  void field(const std::vector<std::string>& v) { w_.texts(v); }
  void field(const std::vector<std::uint64_t>& v) {
    w_.array(v.size());
    for (const auto n : v) w_.uint(n);
  }
  void field(const Pairs& v) {
    w_.array(v.size());
    for (const auto& [a, b] : v) w_.array(2).text(a).text(b);
  }
  template <class E>
    requires std::is_enum_v<E>
  void enumeration(E v, E) {
    w_.uint(static_cast<std::uint64_t>(v));
  }
  template <class T>
  void record(const T& v) {
    fields(*this, const_cast<T&>(v));
  }  // fields() takes what a Decoder needs; it changes nothing here
  template <class T>
  void list(const std::vector<T>& v) {
    w_.array(v.size());
    for (const auto& item : v) record(item);
  }
  void blobs(const std::vector<std::string>& v) {
    w_.array(v.size());
    for (const auto& b : v) w_.bytes(b);
  }
  void digests(const std::vector<Digest>& v) {
    w_.array(v.size());
    for (const auto& d : v) field(d);
  }

 private:
  Writer& w_;
};

class Decoder {
 public:
  explicit Decoder(Reader& r) : r_(r) {}
  void begin(std::size_t n) { r_.array(n); }
  void field(std::string& v) { v = r_.text(); }
  void blob(std::string& v) { v = r_.bytes(); }
  void field(bool& v) { v = r_.boolean(); }
  void field(std::uint32_t& v) { v = narrow<std::uint32_t>(r_.uint()); }
  void field(std::uint64_t& v) { v = r_.uint(); }
  void field(std::int32_t& v) { v = narrow<std::int32_t>(r_.integer()); }
  void field(std::int64_t& v) { v = r_.integer(); }
  void field(Digest& v) { v = Digest::from_bytes(r_.bytes()); }
  void field(std::vector<std::string>& v) { v = r_.texts(); }
  void field(std::vector<std::uint64_t>& v) {
    for (auto n = r_.array(); n > 0; --n) v.push_back(r_.uint());
  }
  void field(Pairs& v) {
    for (auto n = r_.array(); n > 0; --n) {
      auto& [a, b] = v.emplace_back();
      r_.array(2);
      a = r_.text();
      b = r_.text();
    }
  }
  template <class E>
    requires std::is_enum_v<E>
  void enumeration(E& v, E last) {
    const auto n = r_.uint();
    if (n > static_cast<std::uint64_t>(last)) throw Error(Code::corrupt_data, "an enumeration value is unknown");
    v = static_cast<E>(n);
  }
  template <class T>
  void record(T& v) {
    fields(*this, v);
  }
  template <class T>
  void list(std::vector<T>& v) {
    const auto n = r_.array();
    for (std::size_t i = 0; i < n; ++i) record(v.emplace_back());
  }
  void blobs(std::vector<std::string>& v) {
    for (auto n = r_.array(); n > 0; --n) v.emplace_back(r_.bytes());
  }
  void digests(std::vector<Digest>& v) {
    for (auto n = r_.array(); n > 0; --n) field(v.emplace_back());
  }

 private:
  template <class To, class From>
  static To narrow(From v) {
    if (static_cast<From>(static_cast<To>(v)) != v) throw Error(Code::corrupt_data, "a number is out of range");
    return static_cast<To>(v);
  }
  Reader& r_;
};

template <class T>
std::string pack(const T& v) {
  Writer w;
  Encoder(w).record(v);
  return std::move(w).str();
}

template <class T>
T unpack(std::string_view bytes) {
  Reader r(bytes);
  T v;
  Decoder(r).record(v);
  r.expect_end();
  return v;
}

}  // namespace dagger::cbor
