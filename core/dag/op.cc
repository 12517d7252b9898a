#include "core/dag/op.h"

#include <array>

#include "core/base/cbor.h"
#include "dagger/plugin/error.h"

namespace dagger::dag {
namespace {

using cbor::Reader;
using cbor::Writer;

// One list of fields per kind serves both directions: an Archive is either of these two.
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
  void field(const Pairs& v) {
    w_.array(v.size());
    for (const auto& [a, b] : v) w_.array(2).text(a).text(b);
  }
  template <class E>
    requires std::is_enum_v<E>
  void enumeration(E v, E) { w_.uint(static_cast<std::uint64_t>(v)); }
  template <class T, class Each>
  void list(const std::vector<T>& v, Each each) {
    w_.array(v.size());
    for (auto& item : const_cast<std::vector<T>&>(v)) each(*this, item);
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
  void field(Pairs& v) {
    v.resize(r_.array());
    for (auto& [a, b] : v) {
      r_.array(2);
      a = r_.text();
      b = r_.text();
    }
  }
  template <class E>
    requires std::is_enum_v<E>
  void enumeration(E& v, E last) {
    const auto n = r_.uint();
    if (n > static_cast<std::uint64_t>(last)) throw Error(Code::corrupt_data, "an op has an unknown enumeration value");
    v = static_cast<E>(n);
  }
  template <class T, class Each>
  void list(std::vector<T>& v, Each each) {
    const auto n = r_.array();
    for (std::size_t i = 0; i < n; ++i) each(*this, v.emplace_back());
  }

 private:
  template <class To, class From>
  static To narrow(From v) {
    if (static_cast<From>(static_cast<To>(v)) != v) throw Error(Code::corrupt_data, "a number of an op is out of range");
    return static_cast<To>(v);
  }
  Reader& r_;
};

template <class A> void fields(A& a, Scratch&) { a.begin(0); }
template <class A> void fields(A& a, Source& f) {
  a.begin(6), a.field(f.scheme), a.field(f.location), a.field(f.platform), a.field(f.attributes), a.field(f.pin_digest),
      a.field(f.pin_identity);
}
template <class A> void fields(A& a, Local& f) { a.begin(1), a.field(f.tree); }
template <class A> void mount(A& a, Mount& m) {
  a.begin(10), a.enumeration(m.type, MountType::socket), a.field(m.target), a.field(m.input), a.field(m.subpath),
      a.field(m.read_only), a.field(m.id), a.enumeration(m.sharing, Sharing::locked), a.field(m.owner), a.field(m.mode),
      a.field(m.size);
}
template <class A> void fields(A& a, Exec& f) {
  a.begin(15), a.field(f.args), a.field(f.env), a.field(f.secret_env), a.field(f.cwd), a.field(f.user);
  a.list(f.mounts, [](A& each, Mount& m) { mount(each, m); });
  a.blob(f.stdin_text), a.field(f.redirect_stdin), a.field(f.redirect_stdout), a.field(f.redirect_stderr),
      a.enumeration(f.expect, Expect::any), a.field(f.root_capabilities), a.field(f.nesting), a.field(f.network_class),
      a.field(f.platform);
}
template <class A> void fields(A& a, Copy& f) {
  a.begin(8), a.field(f.source), a.field(f.target), a.field(f.contents), a.field(f.include), a.field(f.exclude),
      a.field(f.owner), a.field(f.mode), a.field(f.must_be_file);
}
template <class A> void fields(A& a, Subpath& f) { a.begin(1), a.field(f.path); }
template <class A> void fields(A& a, Merge&) { a.begin(0); }
template <class A> void fields(A& a, Diff&) { a.begin(0); }
template <class A> void fields(A& a, Write& f) { a.begin(4), a.field(f.path), a.blob(f.data), a.field(f.owner), a.field(f.mode); }
template <class A> void fields(A& a, Mkdir& f) { a.begin(3), a.field(f.path), a.field(f.owner), a.field(f.mode); }
template <class A> void fields(A& a, Remove& f) { a.begin(2), a.field(f.path), a.field(f.wildcards); }
template <class A> void fields(A& a, Symlink& f) { a.begin(2), a.field(f.target), a.field(f.link); }
template <class A> void fields(A& a, Timestamps& f) { a.begin(1), a.field(f.unix_seconds); }
template <class A> void fields(A& a, Chown& f) { a.begin(2), a.field(f.path), a.field(f.owner); }
template <class A> void fields(A& a, Archive& f) { a.begin(3), a.field(f.configs), a.field(f.media_types), a.field(f.compression); }

// In the order of the variant.
constexpr std::array<std::string_view, std::variant_size_v<Fields>> names = {
    "scratch", "source", "local", "exec", "copy", "subpath", "merge", "diff",
    "write", "mkdir", "remove", "symlink", "timestamps", "chown", "archive"};

template <std::size_t I = 0>
Fields blank(std::string_view name) {
  if constexpr (I == names.size()) {
    throw Error(Code::unsupported, "unknown kind of op '" + std::string(name.substr(0, 40)) + "': made by a newer version?");
  } else {
    return names[I] == name ? Fields(std::in_place_index<I>) : blank<I + 1>(name);
  }
}

void check(const Op& op) {
  const auto* exec = std::get_if<Exec>(&op.fields);
  if (exec == nullptr) return;
  if (exec->args.empty() || op.inputs.empty()) throw Error(Code::corrupt_data, "an exec op has no command or no root");
  for (const auto& m : exec->mounts) {
    const bool needs_input = m.type == MountType::tree;
    if (m.input >= static_cast<std::int32_t>(op.inputs.size()) || m.input < -1 || (needs_input && m.input < 0))
      throw Error(Code::corrupt_data, "a mount of an exec op names an input that it has not");
    if (!m.target.starts_with('/')) throw Error(Code::corrupt_data, "a mount target is not absolute");
  }
}

}  // namespace

std::string_view kind_name(const Op& op) { return names[op.fields.index()]; }

std::string main_output(const Op& op) { return std::holds_alternative<Exec>(op.fields) ? "root" : ""; }

std::vector<std::string> outputs(const Op& op) {
  std::vector<std::string> all{main_output(op)};
  if (const auto* exec = std::get_if<Exec>(&op.fields))
    for (const auto& m : exec->mounts)
      if (m.type == MountType::tree && !m.read_only) all.push_back("mount:" + m.target);
  return all;
}

std::string encode(const Op& op) {
  Writer w;
  w.array(4).uint(encoding_version).text(kind_name(op));
  Encoder e(w);
  std::visit([&](const auto& f) { fields(e, const_cast<std::remove_cvref_t<decltype(f)>&>(f)); }, op.fields);
  w.array(op.inputs.size());
  for (const auto& in : op.inputs) w.array(2).bytes(in.op.raw()).text(in.output);
  return std::move(w).str();
}

Op decode(std::string_view encoded) {
  Reader r(encoded);
  r.array(4);
  if (const auto version = r.uint(); version != encoding_version)
    throw Error(Code::unsupported, "an op has encoding version " + std::to_string(version) + ", this engine knows " +
                                       std::to_string(encoding_version));
  Op op{blank(r.text()), {}};
  Decoder d(r);
  std::visit([&](auto& f) { fields(d, f); }, op.fields);
  op.inputs.resize(r.array());
  for (auto& in : op.inputs) {
    r.array(2);
    in.op = Digest::from_bytes(r.bytes());
    in.output = r.text();
  }
  r.expect_end();
  check(op);
  return op;
}

Digest digest(const Op& op) { return Digest::of(encode(op)); }

}  // namespace dagger::dag
