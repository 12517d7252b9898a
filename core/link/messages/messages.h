// core/link/messages/messages.h — what session and runner say to each other. Plain values; the methods that carry them.
//
// Encoding: cbor::pack() of each struct (core/base/cbor_fields.h), positional; a change of any of them is a new
// link::protocol_version. Requests name op outputs by (op digest, output name); the session puts ops before it names
// them.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/base/cbor_fields.h"
#include "core/base/digest.h"

namespace dagger::link {

using cbor::Pairs;

namespace method {
// Session -> runner.
inline constexpr const char* info = "info";                // Empty -> Info
inline constexpr const char* drain = "drain";              // Empty -> DrainReply; a newer tool to an older runner
inline constexpr const char* put_ops = "ops.put";          // PutOps -> Empty
inline constexpr const char* pin = "pin";                  // PinRequest -> PinReply
inline constexpr const char* solve = "solve";              // Target -> SolveReply
inline constexpr const char* exec_output = "exec.output";  // ExecOutputRequest -> ExecOutputReply
inline constexpr const char* entries = "tree.entries";     // PathRequest -> Entries
inline constexpr const char* glob = "tree.glob";           // PathRequest (pattern) -> Entries
inline constexpr const char* stat = "tree.stat";           // PathRequest -> Stat
inline constexpr const char* tree_digest = "tree.digest";  // PathRequest -> text
inline constexpr const char* read_file = "file.read";      // stream: PathRequest, then the file's bytes come back
inline constexpr const char* export_tree =
    "tree.export";  // stream: PathRequest, then a tar of the directory's contents (or of the one file)
inline constexpr const char* sync_local =
    "local.sync";  // SyncRequest -> Empty; the runner calls back for what it lacks
inline constexpr const char* put_recipe = "recipe.put";  // Recipe -> Empty
inline constexpr const char* get_recipe = "recipe.get";  // RecipeId -> Recipe
// Runner -> session.
inline constexpr const char* secret = "secret";            // Name -> Bytes
inline constexpr const char* credentials = "credentials";  // Name -> CredentialsReply
inline constexpr const char* local_nodes = "local.nodes";  // LocalRequest -> Blobs (encoded store::Node, same order)
inline constexpr const char* local_contents =
    "local.contents";  // stream: LocalRequest, then for each digest 8 bytes length (big endian) and the bytes
inline constexpr const char* open_socket = "socket";  // stream: Name, then bytes both ways
inline constexpr const char* events = "events";       // notification: Events
}  // namespace method

struct Empty {};
struct Name {
  std::string name;
};
struct Bytes {
  std::string bytes;
};
struct Blobs {
  std::vector<std::string> blobs;
};

struct Info {
  std::string version, engine_name, platform;
};

// now: it takes no more sessions. Else others use it: it serves everybody until all have gone, and ends then.
struct DrainReply {
  bool now = false;
};

struct PutOps {
  std::vector<std::string> ops;  // dag::encode() of each; what an op uses stands before it, or was put earlier
};

struct PinRequest {
  std::string scheme, location, platform;
  Pairs attributes;
};
struct PinReply {
  std::string digest, identity;
  std::uint32_t shape = 0;  // plugin::SourceShape
  std::string metadata_json, file_name;
};

struct Target {
  Digest op;
  std::string output;
};
struct SolveReply {
  std::int32_t exit_code = 0;
};

enum class OutputStream : std::uint8_t { out, err };
struct ExecOutputRequest {
  Digest op;
  OutputStream stream = OutputStream::out;
};
struct ExecOutputReply {
  std::int32_t exit_code = 0;
  std::string text;
};

// Details of a failed exec, carried by link::DetailedError with Code::exec_failed.
struct ExecFailure {
  std::vector<std::string> args;
  std::int32_t exit_code = -1;
  std::string out, err;  // trimmed and cut as behaviours require
};

struct PathRequest {
  Target target;
  std::string path;  // absolute and clean; or the pattern, relative to base
  std::string pattern;
  bool follow = true;
  std::uint64_t offset = 0, limit = 0;  // limit 0: to the end
};
struct Stat {
  bool found = false;
  std::uint32_t type = 0;  // store::EntryType
  std::uint32_t mode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
};
struct Entry {
  std::string name;
  bool directory = false;
};
struct Entries {
  std::vector<Entry> entries;
};

struct SyncRequest {
  Digest tree;       // exact digest of the root node
  std::string hint;  // names the place it came from, so that the last tree from there is the base
  std::string name;  // for progress: "host directory /src"
};
struct LocalRequest {
  Digest tree;
  std::vector<Digest> digests;
};

// An API object that outlives its session: what its id stands for.
struct Recipe {
  std::string id, kind;     // kind: "Container", "Directory", ...
  std::string body;         // opaque to the runner
  std::vector<Digest> ops;  // kept with it, with all they are made of
};
struct RecipeId {
  std::string id;
};

struct CredentialsReply {
  bool found = false;
  std::string username, secret;
  bool is_token = false;
};

enum class EventKind : std::uint8_t { started, progress, log, finished };
enum class Outcome : std::uint8_t { done, cached, failed, cancelled };
// One step of work as its watchers see it. A session gets the events of ops that it waits for.
struct Event {
  EventKind kind = EventKind::started;
  Digest op;
  std::string name;          // started: "exec echo hi", "pull docker.io/library/alpine:3"
  std::int64_t time_us = 0;  // unix time
  std::string text;          // log: output; progress: what; finished: error text
  std::string
      reason;  // started: why it runs ("environment variable FOO changed"); finished, cached: "definition" or "content"
  std::uint32_t stream = 0;           // log: 1 stdout, 2 stderr, 0 the engine's own
  std::int64_t done = 0, total = -1;  // progress, in bytes
  Outcome outcome = Outcome::done;
};
struct Events {
  std::vector<Event> events;
};

template <class A>
void fields(A& a, Empty&) {
  a.begin(0);
}
template <class A>
void fields(A& a, Name& m) {
  a.begin(1), a.field(m.name);
}
template <class A>
void fields(A& a, Bytes& m) {
  a.begin(1), a.blob(m.bytes);
}
template <class A>
void fields(A& a, Blobs& m) {
  a.begin(1), a.blobs(m.blobs);
}
template <class A>
void fields(A& a, Info& m) {
  a.begin(3), a.field(m.version), a.field(m.engine_name), a.field(m.platform);
}
template <class A>
void fields(A& a, DrainReply& m) {
  a.begin(1), a.field(m.now);
}
template <class A>
void fields(A& a, PutOps& m) {
  a.begin(1), a.blobs(m.ops);
}
template <class A>
void fields(A& a, PinRequest& m) {
  a.begin(4), a.field(m.scheme), a.field(m.location), a.field(m.platform), a.field(m.attributes);
}
template <class A>
void fields(A& a, PinReply& m) {
  a.begin(5), a.field(m.digest), a.field(m.identity), a.field(m.shape), a.field(m.metadata_json), a.field(m.file_name);
}
template <class A>
void fields(A& a, Target& m) {
  a.begin(2), a.field(m.op), a.field(m.output);
}
template <class A>
void fields(A& a, SolveReply& m) {
  a.begin(1), a.field(m.exit_code);
}
template <class A>
void fields(A& a, ExecOutputRequest& m) {
  a.begin(2), a.field(m.op), a.enumeration(m.stream, OutputStream::err);
}
template <class A>
void fields(A& a, ExecOutputReply& m) {
  a.begin(2), a.field(m.exit_code), a.blob(m.text);
}
template <class A>
void fields(A& a, ExecFailure& m) {
  a.begin(4), a.field(m.args), a.field(m.exit_code), a.blob(m.out), a.blob(m.err);
}
template <class A>
void fields(A& a, PathRequest& m) {
  a.begin(6), a.record(m.target), a.field(m.path), a.field(m.pattern), a.field(m.follow), a.field(m.offset),
      a.field(m.limit);
}
template <class A>
void fields(A& a, Stat& m) {
  a.begin(5), a.field(m.found), a.field(m.type), a.field(m.mode), a.field(m.size), a.field(m.mtime_ns);
}
template <class A>
void fields(A& a, Entry& m) {
  a.begin(2), a.field(m.name), a.field(m.directory);
}
template <class A>
void fields(A& a, Entries& m) {
  a.begin(1), a.list(m.entries);
}
template <class A>
void fields(A& a, SyncRequest& m) {
  a.begin(3), a.field(m.tree), a.field(m.hint), a.field(m.name);
}
template <class A>
void fields(A& a, LocalRequest& m) {
  a.begin(2), a.field(m.tree), a.digests(m.digests);
}
template <class A>
void fields(A& a, Recipe& m) {
  a.begin(4), a.field(m.id), a.field(m.kind), a.blob(m.body), a.digests(m.ops);
}
template <class A>
void fields(A& a, RecipeId& m) {
  a.begin(1), a.field(m.id);
}
template <class A>
void fields(A& a, CredentialsReply& m) {
  a.begin(4), a.field(m.found), a.field(m.username), a.field(m.secret), a.field(m.is_token);
}
template <class A>
void fields(A& a, Event& m) {
  a.begin(10), a.enumeration(m.kind, EventKind::finished), a.field(m.op), a.field(m.name), a.field(m.time_us),
      a.blob(m.text), a.field(m.reason), a.field(m.stream), a.field(m.done), a.field(m.total),
      a.enumeration(m.outcome, Outcome::cancelled);
}
template <class A>
void fields(A& a, Events& m) {
  a.begin(1), a.list(m.events);
}

}  // namespace dagger::link
