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
//    its own, never writes to stdout or stderr, and opens every fd with O_CLOEXEC. Signals are blocked in the threads
//    that call it, so a broken pipe is EPIPE.
//  - Constructors run one at a time. One throws invalid_argument for settings that cannot be meant, unsupported where
//    this machine cannot run the plugin (the text says what is missing); an operator may then name another to try.
//  - The destructor runs when every call has returned and every object that was handed out is gone. Threads of a plugin
//    end in it. The code of a plugin is never unloaded.
//  - A plugin may be run in a process of its own: nothing but values, fds and the callbacks of this header is shared.
//
// How it grows: interfaces that plugins implement, and structs, stay as they are within a major version. What not every
// plugin of a kind can do comes as a further interface with structs of its own, asked for by capability().
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
  // keep: fds the child inherits as 3, 4, ... in this order. The child gets SIGKILL when the engine dies, a
  // session of its own (no terminal's signals reach it), an empty signal mask, default dispositions, cwd "/" and umask
  // 022. Returns a pidfd; the plugin reaps the child by waitid(P_PIDFD). Throws not_found, internal.
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
  // A stream connected to a socket object of the asking client (an ssh agent, ...). Throws not_found, unavailable.
  virtual UniqueFd open_socket(std::string_view socket_id) = 0;
  // The value of a secret object of the asking client that the work names (a token for a source), as a sealed memfd
  // positioned at 0. Throws not_found, unavailable.
  virtual UniqueFd open_secret(std::string_view secret_id) = 0;

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
  // unchecked, has returned. Every property has a description (shown by `dagger plugin list --settings`), and
  // the whole has that of the plugin.
  virtual std::string_view config_schema() const noexcept = 0;
  // An optional further interface by id ("executor.local/1"), or null. Lives as long as the plugin.
  virtual void* capability(std::string_view id) noexcept {
    (void)id;
    return nullptr;
  }
};

}  // namespace dagger::plugin
