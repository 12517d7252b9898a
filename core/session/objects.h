// core/session/objects.h — what the API calls Container, Directory, File, ...: immutable values, made of configuration
// and references to outputs of ops. Pure.
//
// Their canonical encoding (cbor::pack) is the body of a recipe; kind and body make the id.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/dag/op.h"
#include "core/session/image_config.h"

namespace dagger::session {

struct Directory {
  static constexpr const char* kind = "Directory";
  dag::Ref tree;
  std::string path = "/";  // within the tree
};

struct File {
  static constexpr const char* kind = "File";
  dag::Ref tree;
  std::string path;
};

struct Secret {
  static constexpr const char* kind = "Secret";
  std::string name;  // as given to setSecret, or a URI; never a value
};

struct CacheVolume {
  static constexpr const char* kind = "CacheVolume";
  std::string key;
};

struct Host {
  static constexpr const char* kind = "Host";
};

struct Query {
  static constexpr const char* kind = "Query";
};

struct EnvVariable {
  static constexpr const char* kind = "EnvVariable";
  std::string name, value;
};

struct Label {
  static constexpr const char* kind = "Label";
  std::string name, value;
};

struct GitRepository {
  static constexpr const char* kind = "GitRepository";
  std::string url;
  bool keep_git_dir = false;
};

struct GitRef {
  static constexpr const char* kind = "GitRef";
  GitRepository repository;
  std::string ref, ref_kind;  // ref_kind: "branch", "tag", "commit", "head", "ref"
};

struct MountPoint {
  dag::MountType type = dag::MountType::tree;
  std::string target;
  dag::Ref source;  // tree; cache: the initial content, a zero digest for none
  std::string subpath;
  bool is_file = false, read_only = false;
  std::string id;  // cache, secret
  dag::Sharing sharing = dag::Sharing::shared;
  std::string owner;
  std::uint32_t mode = 0;
  std::uint64_t size = 0;

  bool has_source() const { return !source.op.zero(); }
};

struct Container {
  static constexpr const char* kind = "Container";
  std::string platform;
  dag::Ref rootfs;  // a zero digest: empty
  ImageConfig config;
  std::vector<MountPoint> mounts;
  Pairs secret_env;       // variable, name of the secret
  std::string image_ref;  // pinned; "" once the container is more than the image
  Digest last_exec;       // zero: none
};

template <class A>
void ref_field(A& a, dag::Ref& ref) {
  a.field(ref.op), a.field(ref.output);
}
template <class A>
void fields(A& a, Directory& o) {
  a.begin(3), ref_field(a, o.tree), a.field(o.path);
}
template <class A>
void fields(A& a, File& o) {
  a.begin(3), ref_field(a, o.tree), a.field(o.path);
}
template <class A>
void fields(A& a, Secret& o) {
  a.begin(1), a.field(o.name);
}
template <class A>
void fields(A& a, CacheVolume& o) {
  a.begin(1), a.field(o.key);
}
template <class A>
void fields(A& a, Host&) {
  a.begin(0);
}
template <class A>
void fields(A& a, Query&) {
  a.begin(0);
}
template <class A>
void fields(A& a, EnvVariable& o) {
  a.begin(2), a.field(o.name), a.field(o.value);
}
template <class A>
void fields(A& a, Label& o) {
  a.begin(2), a.field(o.name), a.field(o.value);
}
template <class A>
void fields(A& a, GitRepository& o) {
  a.begin(2), a.field(o.url), a.field(o.keep_git_dir);
}
template <class A>
void fields(A& a, GitRef& o) {
  a.begin(3), a.record(o.repository), a.field(o.ref), a.field(o.ref_kind);
}
template <class A>
void fields(A& a, MountPoint& m) {
  a.begin(12), a.enumeration(m.type, dag::MountType::socket), a.field(m.target), ref_field(a, m.source),
      a.field(m.subpath), a.field(m.is_file), a.field(m.read_only), a.field(m.id),
      a.enumeration(m.sharing, dag::Sharing::locked), a.field(m.owner), a.field(m.mode), a.field(m.size);
}
template <class A>
void fields(A& a, Container& o) {
  a.begin(8), a.field(o.platform), ref_field(a, o.rootfs), a.record(o.config), a.list(o.mounts), a.field(o.secret_env),
      a.field(o.image_ref), a.field(o.last_exec);
}

// The ops that an object is made of: what a recipe keeps.
inline std::vector<Digest> ops_of(const Directory& o) { return {o.tree.op}; }
inline std::vector<Digest> ops_of(const File& o) { return {o.tree.op}; }
std::vector<Digest> ops_of(const Container& o);
template <class T>
std::vector<Digest> ops_of(const T&) {
  return {};
}

// The path within directory.tree that a client means by a path within the directory. Throws Error{invalid_argument} for
// one that leaves it.
std::string within(const Directory& directory, std::string_view path);

}  // namespace dagger::session
