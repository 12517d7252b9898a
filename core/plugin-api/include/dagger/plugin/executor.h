// dagger/plugin/executor.h — runs a process in a root filesystem and gives its outputs.
//
// An ExecRequest carries requirements only: layers, mounts of every kind, network class, devices, limits; never an fd
// of a local kernel object. So an executor may be remote. A local one offers the capability "executor.local/1"
// (LocalExecutor): the engine then prepares views, network and files itself and seals the changes afterwards. A runner
// without root is root of a user namespace of its own: executors see no other difference than what the kernel refuses.
//
// Mount points never reach an output: what has to exist so that something can be mounted on it, and what the stack
// lacks, is no change made by the process. That holds for the target of each mount, its missing parents, and the files
// and directories that an executor needs for itself (/proc, /sys, /dev, /etc/hosts, /etc/resolv.conf, /etc/hostname).
// The engine opens the views of a LocalExec with stubs for all of these, and sealing leaves them out; a LocalExecutor
// makes nothing else in a view. An executor with views of its own leaves them out of its outputs itself. A working
// directory that is missing is no mount point: it is made (root's, 0755), and is part of the output.
#pragma once
#include <memory>
#include <utility>

#include "dagger/plugin/layer.h"
#include "dagger/plugin/network.h"
#include "dagger/plugin/plugin.h"
#include "dagger/plugin/snapshotter.h"

namespace dagger::plugin {

enum class MountKind : int {
  tree,    // stack mounted at target (a directory, or one file of it: see subpath)
  cache,   // a cache volume: a directory that outlives the exec and is never part of an output; see source_id
  tmpfs,   // size_bytes, 0: the kernel's default
  secret,  // one file on a tmpfs with the secret's bytes
  socket,  // a unix socket that forwards to the client
  file,    // one read-only file that the engine provides (the nested client tool, a live /etc/hosts, ...)
};

struct ExecMount {
  MountKind kind = MountKind::tree;
  std::string target;  // absolute and clean ("/a/b"), in the container
  bool read_only = false;
  std::string output;        // tree && !read_only: the name of this mount's output; else empty
  std::vector<Layer> stack;  // tree: lowest first; cache: what a new volume begins with
  std::string subpath;       // tree, cache: what of it is mounted; "" or "/": the whole. May name a file
  std::string source_id;     // cache: names the volume, equal for equal volumes only; secret, socket: object id
  std::string content;       // secret, file: the bytes
  std::uint32_t uid = 0, gid = 0, mode = 0400;  // secret, socket
  std::uint64_t size_bytes = 0;                 // tmpfs
};

struct Limits {
  double cpus = 0;                           // 0: none
  std::uint64_t memory_bytes = 0, pids = 0;  // 0: none
};

struct ExecRequest {
  std::string exec_id;                                   // unique in this engine, [a-z0-9]+
  std::vector<Layer> root;                               // lowest first
  std::vector<ExecMount> mounts;                         // in order of target depth: parents first
  std::vector<std::string> args;                         // not empty
  std::vector<std::pair<std::string, std::string>> env;  // in order; secrets among them
  std::string cwd = "/";                                 // made if missing
  std::string user;  // "", "name", "uid", "user:group", ... resolved in the root filesystem
  std::string hostname;
  std::string network_class = "host";
  std::vector<HostEntry> hosts;      // for /etc/hosts, unless a mount of kind file is there
  std::string platform;              // "linux/amd64"
  bool root_capabilities = false;    // every capability, no seccomp, no masked paths
  std::vector<std::string> devices;  // requests such as "gpu=all"
  Limits limits;
  std::string root_output = "root";  // name of the output that holds the root's changes
};

struct ExecOutput {
  std::string name;
  Layer layer;             // as LayerTransfer::write() returned it
  bool unchanged = false;  // then layer is empty
};

enum class ExitKind : int { exited, signaled, oom_killed, not_started };

struct ExecStatus {
  ExitKind kind = ExitKind::exited;
  int code = 0;         // exit code, or signal number
  std::string message;  // not_started: why ("exec: "foobar": not found in $PATH")
};

struct ExecStats {
  std::uint64_t cpu_usec = 0, memory_peak_bytes = 0;
};

// A started exec. [thread-safe] Destroying it kills what still runs, reaps it and takes everything down; it may take a
// while [blocking] and leaves nothing behind.
class Running {
 public:
  virtual ~Running() = default;
  // Readable once the process tree has ended; for poll/epoll. Belongs to this object.
  virtual int done_fd() const noexcept = 0;
  virtual void signal(int number) = 0;  // to the container's first process; no error once it has ended
  virtual ExecStats stats() const = 0;
  // Blocks until done_fd() is readable. Every process of the exec has ended when it returns.
  virtual ExecStatus wait(CallContext& ctx) = 0;
  // Remote executors, after wait(): root_output and every mount's output, each once. Not called on local ones, whose
  // views the engine seals.
  virtual std::vector<ExecOutput> outputs(CallContext& ctx) = 0;
};

// The ends of the process's standard streams that the engine reads from and writes to. Owned by the caller; the
// executor duplicates what it keeps. -1: nothing (reads as empty, writes vanish).
struct Stdio {
  int in = -1, out = -1, err = -1;
};

// Lets a remote executor move what it lacks. [thread-safe] [blocking], implemented by the host, valid until the Running
// is destroyed. Throws unsupported for a form that it cannot give or take; form::tar always works.
class LayerTransfer {
 public:
  virtual std::unique_ptr<ByteStream> read(const Layer& layer, std::string_view form) = 0;
  virtual Layer write(ByteStream& stream, std::string_view form) = 0;  // read to its end, verified, kept
 protected:
  ~LayerTransfer() = default;
};

struct ExecutorTraits {
  std::vector<std::string> platforms;        // empty: the host's own
  std::vector<std::string> network_classes;  // remote ones list what they offer; local ones leave it to network plugins
  std::vector<MountKind> mounts;             // kinds that it can give; empty: all
  bool devices = false, limits = false;      // an exec that asks for limits runs without them where this is false
};

// [thread-safe] [blocking]
class Executor : public Plugin {
 public:
  static constexpr const char* kind = "executor";
  virtual ExecutorTraits traits() const = 0;  // the same at every call
  // Returns as soon as the exec is started (or its start has failed: ExitKind::not_started from wait()).
  // A local executor throws unsupported here and offers "executor.local/1" instead.
  virtual std::unique_ptr<Running> start(const ExecRequest& request, const Stdio& stdio, LayerTransfer& transfer,
                                         CallContext& ctx) = 0;
};

// ---- capability "executor.local/1" ----

// What the engine prepared for one entry of ExecRequest::mounts.
struct LocalMount {
  // Directory or file, or a detached mount; belongs to the engine. -1: tmpfs, secret, and a file that is its content. A
  // file with an fd shows what the engine writes there while the exec runs.
  int fd = -1;
  bool detached_mount = false;  // clone and attach fd; else bind it
};

struct LocalExec {
  int root_fd = -1;  // writable view of the root, with stubs for every mount target
  bool root_detached_mount = false;
  std::vector<LocalMount> mounts;  // one per ExecRequest::mounts, same order
  Namespace netns = Namespace::host;
  int netns_fd = -1;
  std::string resolv_conf;    // for /etc/resolv.conf; empty: the host's file if netns is host, else none
  std::string cgroup_parent;  // "" : none
};

class LocalExecutor {
 public:
  static constexpr const char* capability_id = "executor.local/1";
  // The host keeps the fds in local open until the returned object is destroyed. Throws unsupported for what it cannot
  // give (devices, a mount), no_space, cancelled.
  virtual std::unique_ptr<Running> start_local(const ExecRequest& request, const LocalExec& local, const Stdio& stdio,
                                               CallContext& ctx) = 0;

 protected:
  ~LocalExecutor() = default;
};

}  // namespace dagger::plugin
