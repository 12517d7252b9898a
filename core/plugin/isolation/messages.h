// core/plugin/isolation/messages.h — what the engine and the process of an isolated plugin say to each other.
//
// Both ends are of one build; protocol tells when they are not, because the engine was replaced while it ran. A call is
// a conversation on a channel of its own: the engine sends call, the plugin's process may ask and gets answers, at last
// it sends reply or failure. While it waits for an answer the engine may pull: bytes of a stream of the plugin. Notes
// may come at any time and get no answer. A reply that hands out an object (a stream, an attachment) leaves the channel
// to that object: calls of method read and close follow. Everything that comes from the plugin's process is hostile:
// the structs are checked by cbor::Decoder.
#pragma once
#include "core/base/cbor_fields.h"
#include "dagger/plugin/cache_store.h"
#include "dagger/plugin/network.h"
#include "dagger/plugin/source.h"

namespace dagger::plugin {

template <class A>
void fields(A& a, SourceRef& v) {
  a.begin(4), a.field(v.scheme), a.field(v.location), a.field(v.attributes), a.field(v.platform);
}
template <class A>
void fields(A& a, Pin& v) {
  a.begin(3), a.field(v.digest), a.field(v.identity), a.field(v.validators);
}
template <class A>
void fields(A& a, SourceLayer& v) {
  a.begin(5), a.field(v.id), a.field(v.diff_id), a.field(v.media_type), a.field(v.size), a.field(v.attributes);
}
template <class A>
void fields(A& a, PinResult& v) {
  a.begin(5), a.record(v.pin), a.enumeration(v.shape, SourceShape::file), a.field(v.metadata_json), a.list(v.layers),
      a.field(v.file_name);
}
template <class A>
void fields(A& a, Credentials& v) {
  a.begin(3), a.field(v.username), a.field(v.secret), a.field(v.is_token);
}
template <class A>
void fields(A& a, HostEntry& v) {
  a.begin(2), a.field(v.name), a.field(v.address);
}
template <class A>
void fields(A& a, NetworkRequest& v) {
  a.begin(3), a.field(v.exec_id), a.field(v.hostname), a.field(v.group);
}
template <class A>
void fields(A& a, CacheStoreTraits& v) {
  a.begin(2), a.field(v.writable), a.field(v.remote);
}

namespace isolation {

// The last argument of the process. Another one for each change of this file.
inline constexpr const char* protocol = "protocol-1";

enum class Kind : std::uint8_t { call = 1, reply, failure, ask, answer, pull, piece, note };

enum class Method : std::uint8_t {
  start,    // on the control channel
  channel,  // on the control channel, with fds: no reply
  pin,      // source
  fetch,
  open,     // secret
  attach,   // network
  records,  // cache
  put_record,
  missing,
  read_blob,
  write_blob,
  touch,
  read,   // of the stream that read_blob handed out
  close,  // destroys what was handed out
};

enum class Ask : std::uint8_t {
  credentials,
  open_socket,
  open_secret,
  prompt,
  client_env,
  client_cwd,
  have,
  tar,
  directory,
  directory_done,
  directory_drop,
  read,  // of the stream that write_blob was given
};

enum class Note : std::uint8_t {
  log,
  progress,
  line,  // with a channel on which another thread of the plugin asks
};

struct Start {
  std::string path, kind, use, settings, state_dir, install_dir;
};
template <class A>
void fields(A& a, Start& v) {
  a.begin(6), a.field(v.path), a.field(v.kind), a.field(v.use), a.field(v.settings), a.field(v.state_dir),
      a.field(v.install_dir);
}

// What a plugin says of itself, once for all.
struct Started {
  std::string config_schema;
  std::vector<std::string> offered;  // schemes, or the class of a network
  CacheStoreTraits traits;
};
template <class A>
void fields(A& a, Started& v) {
  a.begin(3), a.field(v.config_schema), a.field(v.offered), a.record(v.traits);
}

struct Failure {
  std::uint64_t code = 0;
  std::string message;
};
template <class A>
void fields(A& a, Failure& v) {
  a.begin(2), a.field(v.code), a.field(v.message);
}

struct Text {
  std::string text;
};
template <class A>
void fields(A& a, Text& v) {
  a.begin(1), a.field(v.text);
}

struct Texts {
  std::vector<std::string> texts;
};
template <class A>
void fields(A& a, Texts& v) {
  a.begin(1), a.field(v.texts);
}

struct MaybeCredentials {
  std::vector<Credentials> some;  // one or none
};
template <class A>
void fields(A& a, MaybeCredentials& v) {
  a.begin(1), a.list(v.some);
}

struct Number {
  std::uint64_t number = 0;
};
template <class A>
void fields(A& a, Number& v) {
  a.begin(1), a.field(v.number);
}

struct PinCall {
  SourceRef ref;
  std::vector<Pin> last;  // one or none
};
template <class A>
void fields(A& a, PinCall& v) {
  a.begin(2), a.record(v.ref), a.list(v.last);
}

struct FetchCall {
  SourceRef ref;
  Pin pin;
  SourceLayer layer;
};
template <class A>
void fields(A& a, FetchCall& v) {
  a.begin(3), a.record(v.ref), a.record(v.pin), a.record(v.layer);
}

struct OpenCall {
  std::string scheme, rest;
};
template <class A>
void fields(A& a, OpenCall& v) {
  a.begin(2), a.field(v.scheme), a.field(v.rest);
}

// With the fds that are there: first the namespace, then the one that tells of its loss.
struct Attached {
  Namespace netns = Namespace::host;
  std::vector<std::string> addresses;
  std::string resolv_conf;
  std::vector<HostEntry> hosts;
  bool has_netns = false, has_lost = false;
};
template <class A>
void fields(A& a, Attached& v) {
  a.begin(6), a.enumeration(v.netns, Namespace::joined), a.field(v.addresses), a.field(v.resolv_conf), a.list(v.hosts),
      a.field(v.has_netns), a.field(v.has_lost);
}

struct Records {
  cbor::Pairs records;
};
template <class A>
void fields(A& a, Records& v) {
  a.begin(1), a.field(v.records);
}

struct PutRecordCall {
  std::string key, record;
  std::vector<std::string> blobs;
};
template <class A>
void fields(A& a, PutRecordCall& v) {
  a.begin(3), a.field(v.key), a.field(v.record), a.field(v.blobs);
}

struct ReadBlobCall {
  std::string digest;
  std::int64_t offset = 0, length = -1;
};
template <class A>
void fields(A& a, ReadBlobCall& v) {
  a.begin(3), a.field(v.digest), a.field(v.offset), a.field(v.length);
}

struct WriteBlobCall {
  std::string digest;
  std::int64_t size = -1;
};
template <class A>
void fields(A& a, WriteBlobCall& v) {
  a.begin(2), a.field(v.digest), a.field(v.size);
}

struct LogNote {
  LogLevel level = LogLevel::info;
  std::string line;
};
template <class A>
void fields(A& a, LogNote& v) {
  a.begin(2), a.enumeration(v.level, LogLevel::error), a.field(v.line);
}

struct ProgressNote {
  std::string what;
  std::int64_t done = 0, total = -1;
};
template <class A>
void fields(A& a, ProgressNote& v) {
  a.begin(3), a.field(v.what), a.field(v.done), a.field(v.total);
}

struct PromptAsk {
  std::string text;
  bool hidden = true;
};
template <class A>
void fields(A& a, PromptAsk& v) {
  a.begin(2), a.field(v.text), a.field(v.hidden);
}

}  // namespace isolation
}  // namespace dagger::plugin
