// tests/unit/plugins/exec_fixture.h — a busybox root filesystem, views of it, and execs in them by a real runtime.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/fs.h"
#include "plugins/common/oci-runtime/executor.h"
#include "plugins/snapshotter-overlay/snapshotter.h"
#include "tests/support/fake_host.h"

namespace dagger::testing {

inline void put(const std::string& path, std::string_view text, unsigned mode = 0644) {
  const auto fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  write_all(fd.get(), text);
  ::fchmod(fd.get(), mode);
}

// A layer with busybox (static, from Debian's package) and little else.
inline void make_busybox(const std::string& dir) {
  for (const char* sub : {"/bin", "/etc", "/root", "/tmp"}) make_dirs(dir + sub);
  put(dir + "/bin/busybox", read_file("/bin/busybox", 64 << 20), 0755);
  for (const char* name :
       {"sh",   "cat",   "ls", "id",       "env",   "pwd", "mkdir", "rm",   "sleep", "stat",     "true",
        "grep", "mknod", "dd", "hostname", "touch", "ip",  "kill",  "head", "mount", "readlink", "chmod"})
    if (::symlink("busybox", (dir + "/bin/" + name).c_str()) != 0) throw_errno(name);
  put(dir + "/etc/passwd",
      "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\ndaemon:x:2:2:daemon:/sbin:/sbin/nologin\n");
  put(dir + "/etc/group", "root:x:0:root\nbin:x:1:root,bin,daemon\ndaemon:x:2:root,bin,daemon\nfloppy:x:11:root\n");
}

inline plugin::Layer layer_at(const std::string& path) { return {path, {{plugin::form::overlay_trusted, path}}, {}}; }

// What an exec gave.
struct ExecResult {
  plugin::ExecStatus status;
  std::string out, err;
};

inline std::string rest_of(int fd) { return read_all(fd, 1 << 20); }

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe");
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

// The stubs that an engine makes for a request.
inline std::vector<plugin::MountStub> stubs_for(const plugin::ExecRequest& request, const plugin::LocalExec& local) {
  std::vector<plugin::MountStub> stubs = {
      {"/proc", true},         {"/sys", true}, {"/dev", true}, {"/etc/hosts", false}, {"/etc/resolv.conf", false},
      {"/etc/hostname", false}};
  for (std::size_t i = 0; i < request.mounts.size(); ++i) {
    const auto& m = request.mounts[i];
    bool directory = m.kind == plugin::MountKind::tmpfs;
    if (local.mounts[i].fd >= 0) {
      struct stat st{};
      UniqueFd part;
      if (!m.subpath.empty()) part = open_in_root(local.mounts[i].fd, m.subpath, O_PATH);
      ::fstat(part ? part.get() : local.mounts[i].fd, &st);
      directory = S_ISDIR(st.st_mode);
    }
    stubs.push_back({m.target, directory});
  }
  return stubs;
}

// One machine with a snapshotter, an executor and a base layer.
class ExecMachine {
 public:
  explicit ExecMachine(const std::string& runtime)
      : host_(DAGGER_BUILD_DIR),
        snapshotter_(snapshot_host_, "{}"),
        executor_(host_, "{}",
                  runtime == "crun" ? oci::Runtime{"crun", {"--cgroup-manager=disabled"}, false, true}
                                    : oci::Runtime{"runc", {}, true}) {
    base_ = dir_.path() + "/base";
    make_busybox(base_);
    request.exec_id = "test" + std::to_string(::getpid());
    request.hostname = "box";
    request.root = {layer_at(base_)};
  }

  void open_view() {
    workspace_ = dir_.path() + "/ws" + std::to_string(count_++);
    if (::mkdir(workspace_.c_str(), 0700) != 0) throw_errno(workspace_);
    view = snapshotter_.open({request.root, true, workspace_, stubs_for(request, local)}, ctx);
    local.root_fd = view->root_fd();
    local.root_detached_mount = view->detached_mount();
  }
  std::unique_ptr<plugin::Running> start(const plugin::Stdio& stdio) {
    if (!view) open_view();
    return executor_.start_local(request, local, stdio, ctx);
  }
  // Runs request.args to their end. Small outputs only: they are read afterwards.
  ExecResult run(std::vector<std::string> args, int in = -1) {
    request.args = std::move(args);
    Pipe out, err;
    auto running = start({in, out.write.get(), err.write.get()});
    out.write.reset();
    err.write.reset();
    ExecResult r;
    r.out = rest_of(out.read.get());
    r.err = rest_of(err.read.get());
    r.status = running->wait(ctx);
    return r;
  }
  ExecResult shell(const std::string& script) { return run({"sh", "-c", script}); }
  std::string mount_tree(const std::string& target, const std::string& dir, bool read_only = false,
                         const std::string& sub = {}) {
    plugin::ExecMount m;
    m.target = target;
    m.read_only = read_only;
    m.subpath = sub;
    request.mounts.push_back(m);
    fds_.push_back(open_file(dir, O_PATH));
    local.mounts.push_back({fds_.back().get(), false});
    return dir;
  }
  void mount_text(plugin::MountKind kind, const std::string& target, const std::string& text, unsigned mode = 0400) {
    plugin::ExecMount m;
    m.kind = kind;
    m.target = target;
    m.mode = mode;
    m.uid = 2, m.gid = 11;
    m.content = text;
    request.mounts.push_back(m);
    local.mounts.emplace_back();
  }
  plugin::SealedLayer seal() {
    auto sealed = view->seal(ctx);
    view.reset();
    return sealed;
  }
  oci::OciExecutor& executor() { return executor_; }
  const std::string& base() const { return base_; }
  // What would stay when this process is killed.
  std::vector<std::string> temporary() const {
    return {dir_.path(), std::string(host_.state_dir()), std::string(snapshot_host_.state_dir())};
  }
  const std::string& dir() const { return dir_.path(); }

  plugin::ExecRequest request;
  plugin::LocalExec local;
  std::unique_ptr<plugin::View> view;
  FakeContext ctx;

 private:
  TempDir dir_;
  FakeHost host_, snapshot_host_;
  overlay::OverlaySnapshotter snapshotter_;
  oci::OciExecutor executor_;
  std::string base_, workspace_;
  std::vector<UniqueFd> fds_;
  int count_ = 0;
};

}  // namespace dagger::testing
