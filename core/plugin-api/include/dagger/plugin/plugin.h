// dagger/plugin/plugin.h — what every plugin gets from the host (Host, CallContext) and offers to it (Plugin).
//
// Boundary vocabulary: C++17 types of the standard library and types declared under dagger/plugin/. No Boost, no
// JSON library type (JSON crosses as text), no std::function, no C++20 library type.
//
// Rules for every plugin, checked by the conformance program:
//  - Methods are [thread-safe] and may block, unless a declaration says otherwise.
//  - A call returns within 2 s of ctx.cancelled() turning true, by throwing Error{Code::cancelled}, with its children
//    killed and reaped.
//  - Only dagger::Error leaves. Views and references passed in are valid until the call returns.
//  - A plugin never changes cwd, umask, environment, locale or signal handlers, never waits for children that are not
//    its own, never writes to stdout or stderr, and opens every fd with O_CLOEXEC.
//  - Threads of a plugin end in its destructor. The code of a plugin is never unloaded.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dagger/plugin/error.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::plugin {

enum class LogLevel : int { trace, debug, info, warn, error };

// ---- implemented by the host; grows only at the end, with a new minor version ----

// One per plugin object; valid until that object is destroyed. [thread-safe]
class Host {
 public:
  virtual void log(LogLevel level, std::string_view message) noexcept = 0;
  // A directory that belongs to this plugin alone (mode 0700) and survives restarts. Absolute, without a trailing '/'.
  virtual std::string_view state_dir() const noexcept = 0;
  // The folder of the running engine's installed tree: helpers are found relative to it, never by absolute path.
  virtual std::string_view install_dir() const noexcept = 0;
  // Starts a child from the engine's one permanent spawning thread, so that PR_SET_PDEATHSIG means "the engine died"
  // and not "a pool thread ended". argv[0] is looked up as an absolute path. stdio: fds for 0, 1, 2 (-1: /dev/null).
  // keep: fds the child inherits as 3, 4, ... in this order. The child gets SIGKILL when the engine dies, an empty
  // signal mask, default dispositions, cwd "/" and umask 022. Returns a pidfd. Throws not_found, internal.
  struct Spawn {
    std::vector<std::string> argv;
    std::vector<std::string> env;  // "NAME=value"
    int stdio[3] = {-1, -1, -1};
    std::vector<int> keep;
    std::uint64_t clone_flags = 0;  // CLONE_NEWPID and the like, for the child; needs privileges
  };
  virtual UniqueFd spawn(const Spawn& request) = 0;

 protected:
  ~Host() = default;
};

struct Credentials {
  std::string username, secret;
  bool is_token = false;  // secret is a bearer/identity token; username is empty
};

// One per blocking call; valid until that call returns. [thread-safe]
class CallContext {
 public:
  virtual bool cancelled() const noexcept = 0;
  // Readable once cancelled; for poll(2). Belongs to the host.
  virtual int cancel_fd() const noexcept = 0;
  // A line in the log of the step that this call works for. Secrets never go here.
  virtual void log(LogLevel level, std::string_view line) noexcept = 0;
  // done and total in bytes unless what says otherwise; total < 0: unknown.
  virtual void progress(std::string_view what, std::int64_t done, std::int64_t total) noexcept = 0;
  // Asks the client that wants this work for credentials of a realm ("registry-1.docker.io"). Empty: it has none.
  // Throws unavailable when no client is connected.
  virtual std::optional<Credentials> credentials(std::string_view realm) = 0;
  // A stream connected to a socket object of the asking client (an ssh agent, ...). Throws not_found.
  virtual UniqueFd open_socket(std::string_view socket_id) = 0;

 protected:
  ~CallContext() = default;
};

// Pull-style stream of bytes: read() returns up to size bytes, 0 only at the end. Used from one thread at a time.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  virtual std::size_t read(void* buffer, std::size_t size) = 0;
};

// ---- implemented by plugins; frozen within a major version ----

class Plugin {
 public:
  virtual ~Plugin() = default;
  // JSON Schema (text) of the plugin's settings: the settings_schema of export.h, where the class has one. Then unknown
  // keys and bad values are refused before any code of the plugin runs; else when the constructor, which sees them
  // unchecked, has returned. Every property has a description, which `dagger plugin list --settings` shows.
  virtual std::string_view config_schema() const noexcept = 0;
  // An optional further interface by id ("executor.local/1"), or null. Lives as long as the plugin.
  virtual void* capability(std::string_view id) noexcept {
    (void)id;
    return nullptr;
  }
};

}  // namespace dagger::plugin
