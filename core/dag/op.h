// core/dag/op.h — operations as plain values, their canonical encoding and digest. Pure: no I/O, no threads.
//
// An op is a kind with fields and references to outputs of other ops: a Merkle DAG. Equal pipelines have equal digests
// on every machine. The first input of an op that changes a tree is the tree it starts from.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/digest.h"

namespace dagger::dag {

inline constexpr std::uint64_t encoding_version = 1;

// One named output of an op. Most ops have one, called "". An exec has "root" and "mount:<target>" for each writable
// tree.
struct Ref {
  Digest op;
  std::string output;
  auto operator<=>(const Ref&) const = default;
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

// An empty tree.
struct Scratch {
  bool operator==(const Scratch&) const = default;
};

// A pinned reference (an image, a git tree, a file). Only what the pin fixes is part of a key; location and attributes
// say where to fetch it.
struct Source {
  std::string scheme, location, platform;
  Pairs attributes;
  std::string pin_digest, pin_identity;
  bool operator==(const Source&) const = default;
};

// A directory of a client, frozen: the exact digest of its tree (core/store/manifest.h).
struct Local {
  Digest tree;
  bool operator==(const Local&) const = default;
};

enum class MountType : std::uint8_t { tree, cache, tmpfs, secret, socket };
enum class Sharing : std::uint8_t { shared, private_, locked };
enum class Expect : std::uint8_t { success, failure, any };

struct Mount {
  MountType type = MountType::tree;
  std::string target;       // clean and absolute
  std::int32_t input = -1;  // tree: index into Op::inputs; cache: its initial content, -1 for none
  std::string subpath;      // within the input; "" is all of it. May name a file (then target is a file)
  bool read_only = false;
  std::string id;  // cache: volume key; secret, socket: object name
  Sharing sharing = Sharing::shared;
  std::string owner;       // "", "user", "uid:gid", ...: resolved in the root filesystem
  std::uint32_t mode = 0;  // secret, socket; 0: the default
  std::uint64_t size = 0;  // tmpfs
  bool operator==(const Mount&) const = default;
};

struct Exec {
  std::vector<std::string> args;
  Pairs env;
  Pairs secret_env;  // variable name, secret name
  std::string cwd = "/", user;
  std::vector<Mount> mounts;  // parents before what lies in them
  std::string stdin_text;
  std::string redirect_stdin, redirect_stdout, redirect_stderr;  // absolute paths in the container, or ""
  Expect expect = Expect::success;
  bool root_capabilities = false;
  bool nesting = false;  // a client in the container reaches this engine
  std::string network_class = "host";
  std::string platform;
  bool operator==(const Exec&) const = default;
};

// Copies from inputs[1] (its source path) into inputs[0]. inputs[2], if present, is where owner names are looked up.
struct Copy {
  std::string source = "/", target = "/";
  bool contents = true;  // a directory's contents go into target; else source itself becomes target
  std::vector<std::string> include, exclude;
  std::string owner;
  std::int32_t mode = -1;  // -1: keep
  bool must_be_file = false;
  bool operator==(const Copy&) const = default;
};

// The subdirectory of inputs[0] as a tree of its own.
struct Subpath {
  std::string path;
  bool operator==(const Subpath&) const = default;
};

// inputs laid over each other at the root, lowest first. Concatenates stacks.
struct Merge {
  bool operator==(const Merge&) const = default;
};

// What inputs[1] has that inputs[0] has not, or has differently.
struct Diff {
  bool operator==(const Diff&) const = default;
};

struct Write {
  std::string path, data, owner;
  std::uint32_t mode = 0644;
  bool operator==(const Write&) const = default;
};

struct Mkdir {
  std::string path, owner;
  std::uint32_t mode = 0755;
  bool operator==(const Mkdir&) const = default;
};

// Removes what the path matches (wildcards * ? [ ] in the last component); nothing there is no error.
struct Remove {
  std::string path;
  bool wildcards = true;
  bool operator==(const Remove&) const = default;
};

struct Symlink {
  std::string target, link;
  bool operator==(const Symlink&) const = default;
};

// Sets mtime and atime of everything. All ops after it use exact digests: times matter.
struct Timestamps {
  std::int64_t unix_seconds = 0;
  bool operator==(const Timestamps&) const = default;
};

// Recursively. inputs[1], if present, is where names are looked up.
struct Chown {
  std::string path, owner;
  bool operator==(const Chown&) const = default;
};

// An OCI archive of inputs (image root trees) with configuration texts, as one file.
struct Archive {
  std::vector<std::string> configs;  // one per input
  std::string media_types, compression;
  bool operator==(const Archive&) const = default;
};

using Fields = std::variant<Scratch, Source, Local, Exec, Copy, Subpath, Merge, Diff, Write, Mkdir, Remove, Symlink,
                            Timestamps, Chown, Archive>;

struct Op {
  Fields fields;
  std::vector<Ref> inputs;
  bool operator==(const Op&) const = default;
};

// "exec", "copy", ...
std::string_view kind_name(const Op& op);
// The output an op has when only one is meant: "root" for exec, "" for all others.
std::string main_output(const Op& op);
std::vector<std::string> outputs(const Op& op);

// [version, kind name, fields, inputs]; canonical. decode() checks limits and the consistency of references
// (inputs in range, paths clean) and throws Error{corrupt_data}.
std::string encode(const Op& op);
Op decode(std::string_view encoded);
Digest digest(const Op& op);
Digest digest(const Mount& mount);

}  // namespace dagger::dag
