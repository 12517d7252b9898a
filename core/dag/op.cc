#include "core/dag/op.h"

#include <array>
#include <set>

#include "core/base/cbor_fields.h"
#include "core/base/fs.h"
#include "dagger/plugin/error.h"

namespace dagger::dag {

// Found by argument-dependent lookup from core/base/cbor_fields.h, hence not in the unnamed namespace.
template <class A>
void fields(A& a, Scratch&) {
  a.begin(0);
}
template <class A>
void fields(A& a, Source& f) {
  a.begin(6), a.field(f.scheme), a.field(f.location), a.field(f.platform), a.field(f.attributes), a.field(f.pin_digest),
      a.field(f.pin_identity);
}
template <class A>
void fields(A& a, Local& f) {
  a.begin(1), a.field(f.tree);
}
template <class A>
void fields(A& a, Mount& m) {
  a.begin(10), a.enumeration(m.type, MountType::socket), a.field(m.target), a.field(m.input), a.field(m.subpath),
      a.field(m.read_only), a.field(m.id), a.enumeration(m.sharing, Sharing::locked), a.field(m.owner), a.field(m.mode),
      a.field(m.size);
}
template <class A>
void fields(A& a, Exec& f) {
  a.begin(15), a.field(f.args), a.field(f.env), a.field(f.secret_env), a.field(f.cwd), a.field(f.user);
  a.list(f.mounts);
  a.blob(f.stdin_text), a.field(f.redirect_stdin), a.field(f.redirect_stdout), a.field(f.redirect_stderr),
      a.enumeration(f.expect, Expect::any), a.field(f.root_capabilities), a.field(f.nesting), a.field(f.network_class),
      a.field(f.platform);
}
template <class A>
void fields(A& a, Copy& f) {
  a.begin(8), a.field(f.source), a.field(f.target), a.field(f.contents), a.field(f.include), a.field(f.exclude),
      a.field(f.owner), a.field(f.mode), a.field(f.must_be_file);
}
template <class A>
void fields(A& a, Subpath& f) {
  a.begin(1), a.field(f.path);
}
template <class A>
void fields(A& a, Merge&) {
  a.begin(0);
}
template <class A>
void fields(A& a, Diff&) {
  a.begin(0);
}
template <class A>
void fields(A& a, Write& f) {
  a.begin(4), a.field(f.path), a.blob(f.data), a.field(f.owner), a.field(f.mode);
}
template <class A>
void fields(A& a, Mkdir& f) {
  a.begin(3), a.field(f.path), a.field(f.owner), a.field(f.mode);
}
template <class A>
void fields(A& a, Remove& f) {
  a.begin(2), a.field(f.path), a.field(f.wildcards);
}
template <class A>
void fields(A& a, Symlink& f) {
  a.begin(2), a.field(f.target), a.field(f.link);
}
template <class A>
void fields(A& a, Timestamps& f) {
  a.begin(1), a.field(f.unix_seconds);
}
template <class A>
void fields(A& a, Chown& f) {
  a.begin(2), a.field(f.path), a.field(f.owner);
}
template <class A>
void fields(A& a, Archive& f) {
  a.begin(3), a.field(f.configs), a.field(f.media_types), a.field(f.compression);
}

namespace {

using cbor::Decoder;
using cbor::Encoder;
using cbor::Reader;
using cbor::Writer;

// In the order of the variant.
constexpr std::array<std::string_view, std::variant_size_v<Fields>> names = {
    "scratch", "source", "local",  "exec",    "copy",       "subpath", "merge",  "diff",
    "write",   "mkdir",  "remove", "symlink", "timestamps", "chown",   "archive"};

template <std::size_t I = 0>
Fields blank(std::string_view name) {
  if constexpr (I == names.size()) {
    throw Error(Code::unsupported,
                "unknown kind of op '" + std::string(name.substr(0, 40)) + "': made by a newer version?");
  } else {
    return names[I] == name ? Fields(std::in_place_index<I>) : blank<I + 1>(name);
  }
}

// How many inputs each kind has, in the order of the variant: at least, at most.
constexpr std::size_t any = SIZE_MAX;
constexpr std::array<std::pair<std::size_t, std::size_t>, std::variant_size_v<Fields>> input_counts = {{{0, 0},
                                                                                                        {0, 0},
                                                                                                        {0, 0},
                                                                                                        {1, any},
                                                                                                        {2, 3},
                                                                                                        {1, 1},
                                                                                                        {0, any},
                                                                                                        {2, 2},
                                                                                                        {1, 2},
                                                                                                        {1, 2},
                                                                                                        {1, 1},
                                                                                                        {1, 1},
                                                                                                        {1, 1},
                                                                                                        {1, 2},
                                                                                                        {0, any}}};

void check_exec(const Exec& exec, std::size_t inputs) {
  if (exec.args.empty()) throw Error(Code::corrupt_data, "an exec op has no command");
  std::set<std::string_view> trees;
  for (const auto& m : exec.mounts) {
    const bool needs_input = m.type == MountType::tree;
    if (m.input < -1 || (m.input >= 0 && static_cast<std::size_t>(m.input) >= inputs) || (needs_input && m.input < 0))
      throw Error(Code::corrupt_data, "a mount of an exec op names an input that it has not");
    if (m.target.size() < 2 || clean_path(m.target) != m.target)
      throw Error(Code::corrupt_data, "a mount target is not absolute and clean");
    // Outputs are named by their target. A secret may lie over a file.
    if (needs_input && !trees.insert(m.target).second)
      throw Error(Code::corrupt_data, "an exec op has two trees at " + m.target);
  }
}

void check(const Op& op) {
  const auto [least, most] = input_counts[op.fields.index()];
  if (op.inputs.size() < least || op.inputs.size() > most)
    throw Error(Code::corrupt_data,
                std::string(kind_name(op)) + " cannot have " + std::to_string(op.inputs.size()) + " inputs");
  if (const auto* exec = std::get_if<Exec>(&op.fields)) check_exec(*exec, op.inputs.size());
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
  std::visit([&](const auto& f) { e.record(f); }, op.fields);
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
  std::visit([&](auto& f) { d.record(f); }, op.fields);
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
Digest digest(const Mount& mount) { return Digest::of(cbor::pack(mount)); }

}  // namespace dagger::dag
