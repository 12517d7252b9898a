// Execs under both runtimes, with real namespaces; needs root, crun, runc and busybox-static.
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>

#include "tests/unit/plugins/exec_fixture.h"

namespace dagger {
namespace {

using plugin::ExitKind;
using plugin::MountKind;
using namespace testing;

class Exec : public ::testing::TestWithParam<const char*> {
 protected:
  ExecMachine m{GetParam()};
};

std::string field(const std::string& status, const std::string& name) {
  const auto at = status.find("\n" + name + ":\t");
  if (at == std::string::npos) return {};
  const auto from = at + name.size() + 3;
  return status.substr(from, status.find('\n', from) - from);
}

TEST_P(Exec, GivesOutputsAndTheExitCode) {
  const auto r = m.shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(r.out, "out\n");
  EXPECT_EQ(r.err, "err\n");
  EXPECT_EQ(r.status.kind, ExitKind::exited) << r.status.message;
  EXPECT_EQ(r.status.code, 7);
}

TEST_P(Exec, TellsAnExitCodeFromASignal) {
  const auto r = m.shell("exit 137");
  EXPECT_EQ(r.status.kind, ExitKind::exited);
  EXPECT_EQ(r.status.code, 137);
}

TEST_P(Exec, SendsASignalToTheFirstProcess) {
  m.request.args = {"sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 100 & wait; done"};
  Pipe out;
  auto running = m.start({-1, out.write.get(), -1});
  char c = 0;
  while (c != '\n') ASSERT_EQ(::read(out.read.get(), &c, 1), 1);
  running->signal(SIGTERM);
  const auto status = running->wait(m.ctx);
  EXPECT_EQ(status.kind, ExitKind::exited);
  EXPECT_EQ(status.code, 3);
}

TEST_P(Exec, ReadsItsInputToTheEnd) {
  Pipe in;
  write_all(in.write.get(), "hello");
  in.write.reset();
  EXPECT_EQ(m.run({"cat"}, in.read.get()).out, "hello");
  EXPECT_EQ(m.run({"cat"}).status.code, 0);
}

TEST_P(Exec, GivesTheEnvironmentAndWhatIsMissingInIt) {
  m.request.env = {{"B", "2"}, {"A", "x y=$z"}};
  const auto r = m.run({"env"});
  EXPECT_EQ(
      r.out.find("B=2\nA=x y=$z\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\n"), 0U)
      << r.out;
  m.request.env = {{"HOME", "/h"}, {"PATH", "/bin"}};
  EXPECT_EQ(m.shell("echo $HOME $PATH").out, "/h /bin\n");
}

TEST_P(Exec, RunsAsTheUserOfTheImage) {
  EXPECT_EQ(m.run({"id"}).out, "uid=0(root) gid=0(root) groups=0(root),1(bin),2(daemon),11(floppy)\n");
  m.request.user = "daemon";
  EXPECT_EQ(m.shell("id; echo $HOME").out, "uid=2(daemon) gid=2(daemon) groups=1(bin),2(daemon)\n/sbin\n");
  m.request.user = "daemon:floppy";
  EXPECT_EQ(m.run({"id"}).out, "uid=2(daemon) gid=11(floppy) groups=11(floppy)\n");
  m.request.user = "1234:5678";
  EXPECT_EQ(m.run({"id"}).out, "uid=1234 gid=5678 groups=5678\n");
  m.request.user = "nobody";
  EXPECT_THROW(m.run({"id"}), Error);
}

TEST_P(Exec, MakesTheWorkingDirectory) {
  m.request.cwd = "/work/deep";
  m.request.user = "daemon";
  EXPECT_EQ(m.shell("pwd; stat -c '%a %u' /work /work/deep").out, "/work/deep\n755 0\n755 0\n");
}

TEST_P(Exec, HasTheUsualCapabilitiesOnly) {
  const auto status = "\n" + m.run({"cat", "/proc/self/status"}).out;
  for (const char* set : {"CapPrm", "CapEff", "CapBnd"}) EXPECT_EQ(field(status, set), "00000000a80425fb");
  for (const char* set : {"CapInh", "CapAmb"}) EXPECT_EQ(field(status, set), "0000000000000000");
  EXPECT_EQ(field(status, "Seccomp"), "2");
  EXPECT_EQ(field(status, "NoNewPrivs"), "0");
}

// The kernel would say EFAULT to calls with no argument: EPERM is the filter's answer.
TEST_P(Exec, IsRefusedSystemCallsThatNoContainerNeeds) {
  put(m.base() + "/bin/probe", read_file(DAGGER_BUILD_DIR "/bin/syscall_probe", 16 << 20), 0755);
  const auto calls = [&] {
    return m
        .run({"probe", std::to_string(SYS_add_key), std::to_string(SYS_io_uring_setup), std::to_string(SYS_clone3),
              "999", std::to_string(SYS_getpid)})
        .out;
  };
  EXPECT_EQ(calls(), "EPERM\nEPERM\nENOSYS\nENOSYS\nfine\n");
  m.request.root_capabilities = true;
  EXPECT_EQ(calls().substr(0, 7), "EFAULT\n");
}

TEST_P(Exec, HasEveryCapabilityThatTheEngineCanGive) {
  m.request.root_capabilities = true;
  const auto status = "\n" + m.run({"cat", "/proc/self/status"}).out;
  const auto own = field("\n" + read_file("/proc/self/status"), "CapBnd");
  for (const char* set : {"CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"}) EXPECT_EQ(field(status, set), own);
  EXPECT_EQ(field(status, "Seccomp"), "0");
  EXPECT_EQ(m.shell("mkdir /m && mount -t tmpfs none /m && echo mounted").out, "mounted\n");
}

TEST_P(Exec, MaskesWhatTellsOrChangesTheMachine) {
  EXPECT_EQ(m.run({"cat", "/proc/timer_list"}).out, "");
  const auto r = m.shell("echo 1 > /proc/sys/kernel/panic");
  EXPECT_NE(r.err.find("Read-only"), std::string::npos) << r.err;
  EXPECT_NE(m.shell("mkdir /x && mount -t tmpfs none /x").status.code, 0);
}

TEST_P(Exec, CannotOpenTheDisksOfTheMachine) {
  struct stat st{};
  ASSERT_EQ(::stat(m.dir().c_str(), &st), 0);
  const auto script = "mknod /dev/disk b " + std::to_string(major(st.st_dev)) + " " + std::to_string(minor(st.st_dev)) +
                      " && echo made && head -c 1 /dev/disk";
  const auto r = m.shell(script);
  EXPECT_EQ(r.out, "made\n");
  EXPECT_NE(r.err.find("not permitted"), std::string::npos) << r.err;
  EXPECT_EQ(m.shell("head -c 3 /dev/zero > /dev/null && echo fine").out, "fine\n");
}

// A node of a loop device, which every machine has and may open.
void put_disk(const std::string& path) {
  ::unlink(path.c_str());
  if (::mknod(path.c_str(), S_IFBLK | 0666, makedev(7, 0)) != 0) throw_errno(path);
}

constexpr const char* open_disks =
    "for f in /disk /mnt/rw/disk /mnt/ro/disk /mnt/one; do (: < $f) 2> /dev/null && echo $f; done";

void mount_disks(ExecMachine& m) {
  put_disk(m.base() + "/disk");
  make_dirs(m.dir() + "/tree");
  put_disk(m.dir() + "/tree/disk");
  m.mount_tree("/mnt/rw", m.dir() + "/tree");
  m.mount_tree("/mnt/ro", m.dir() + "/tree", true);
  m.mount_tree("/mnt/one", m.dir() + "/tree", true, "/disk");
}

TEST_P(Exec, CannotOpenTheDisksThatAnImageHasNodesOf) {
  mount_disks(m);
  EXPECT_EQ(m.shell(open_disks).out, "");
  if (m.executor().traits().limits) {
    m.request.limits.pids = 100;  // in a group of its own
    EXPECT_EQ(m.shell(open_disks).out, "");
    m.request.limits = {};
  }
  if (!UniqueFd(::open((m.base() + "/disk").c_str(), O_RDONLY | O_CLOEXEC))) return;
  m.request.root_capabilities = true;
  EXPECT_EQ(m.shell(open_disks).out, "/disk\n/mnt/rw/disk\n/mnt/ro/disk\n/mnt/one\n");
}

TEST_P(Exec, MountsTreesAndPartsOfThem) {
  const auto tree = m.dir() + "/tree";
  make_dirs(tree + "/sub");
  put(tree + "/sub/file", "content");
  ASSERT_EQ(::symlink("/sub/file", (tree + "/link").c_str()), 0);
  m.mount_tree("/mnt/rw", tree);
  m.mount_tree("/mnt/ro", tree, true);
  m.mount_tree("/mnt/sub", tree, true, "/sub");
  m.mount_tree("/mnt/file", tree, true, "link");
  const auto r = m.shell(
      "cat /mnt/rw/sub/file /mnt/ro/sub/file /mnt/sub/file /mnt/file; echo new > /mnt/rw/new; echo no > /mnt/ro/no");
  EXPECT_EQ(r.out, "contentcontentcontentcontent");
  EXPECT_NE(r.err.find("Read-only"), std::string::npos) << r.err;
  EXPECT_EQ(read_file(tree + "/new"), "new\n");
}

TEST_P(Exec, MountsSecretsFilesAndTmpfs) {
  m.mount_text(MountKind::secret, "/run/secrets/key", "s3cr3t", 0440);
  m.mount_text(MountKind::file, "/etc/note", "text");
  m.mount_text(MountKind::tmpfs, "/mnt/tmp", "");
  m.request.mounts.back().size_bytes = 1 << 20;
  const auto r = m.shell(
      "stat -c '%a %u %g' /run/secrets/key; cat /run/secrets/key /etc/note; grep -c 'tmpfs /mnt/tmp tmpfs' "
      "/proc/mounts;"
      "touch /mnt/tmp/x; echo no > /etc/note");
  EXPECT_EQ(r.out, "440 2 11\ns3cr3ttext1\n");
  EXPECT_NE(r.err.find("Read-only"), std::string::npos) << r.err;
}

TEST_P(Exec, MountsASocketOfTheEngine) {
  const auto path = m.dir() + "/socket";
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{AF_UNIX, {}};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  m.mount_tree("/run/agent", path);
  m.request.mounts.back().kind = MountKind::socket;
  EXPECT_EQ(m.shell("[ -S /run/agent ] && echo socket").out, "socket\n");
}

TEST_P(Exec, ProvidesNamesAndTheHostsResolver) {
  m.request.hosts = {{"db", "10.0.0.7"}};
  const auto r = m.shell("hostname; cat /etc/hostname; cat /etc/hosts");
  EXPECT_EQ(r.out.find("box\nbox\n"), 0U) << r.out << r.err;
  EXPECT_NE(r.out.find("10.0.0.7\tdb\n"), std::string::npos);
  EXPECT_NE(r.out.find("127.0.0.1\tlocalhost\n"), std::string::npos);
  if (exists("/etc/resolv.conf")) {
    EXPECT_EQ(m.run({"cat", "/etc/resolv.conf"}).out, read_file("/etc/resolv.conf"));
  }
}

TEST_P(Exec, LeavesNoMountPointInTheLayer) {
  const auto tree = m.dir() + "/tree";
  make_dirs(tree);
  m.mount_tree("/mnt/here", tree);
  m.mount_text(MountKind::secret, "/run/secret", "x");
  ASSERT_EQ(m.run({"true"}).status.code, 0);
  const auto sealed = m.seal();
  EXPECT_TRUE(sealed.empty) << sealed.entries;
}

TEST_P(Exec, SealsWhatTheProcessChanged) {
  ASSERT_EQ(m.shell("echo 1 > /etc/new; rm /etc/group").status.code, 0);
  const auto sealed = m.seal();
  EXPECT_EQ(sealed.entries, 3U);  // etc, etc/new, the whiteout
  m.request.root = {layer_at(m.base()), layer_at(sealed.path)};
  EXPECT_EQ(m.shell("ls /etc | head -9; stat -c %a /").out, "hostname\nhosts\nnew\npasswd\nresolv.conf\n755\n");
}

TEST_P(Exec, SaysWhichCommandIsMissing) {
  const auto r = m.run({"foobar", "x"});
  EXPECT_EQ(r.status.kind, ExitKind::not_started);
  EXPECT_EQ(r.status.message, "exec: \"foobar\": executable file not found in $PATH");
}

TEST_P(Exec, RefusesWhatNoProcessCanBeGiven) {
  EXPECT_THROW(m.run({std::string("a\0b", 3)}), Error);
  EXPECT_THROW(m.run({}), Error);
  m.request.env = {{"A=B", "x"}};
  EXPECT_THROW(m.run({"true"}), Error);
}

TEST_P(Exec, LimitsFilesAndCoresAsEnginesDoAndNotAsTheRunnersShellDid) {
  const std::string script = "ulimit -n; ulimit -c; ulimit -f; ulimit -s; ulimit -v";
  rlimit own{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
  const auto capabilities = oci::bounding_capabilities();
  const bool may_raise = std::find(capabilities.begin(), capabilities.end(), "CAP_SYS_RESOURCE") != capabilities.end();
  const auto files = std::to_string(may_raise ? 1048576 : std::min<rlim_t>(1048576, own.rlim_max));
  const rlimit low{200, own.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto r = m.shell(script);
  ::setrlimit(RLIMIT_NOFILE, &own);
  EXPECT_EQ(r.out, files + "\n0\nunlimited\n8192\nunlimited\n") << r.err << r.status.message;
}

TEST_P(Exec, HasTheUsualPseudoFilesystemsAndNoTerminal) {
  const auto r = m.shell(
      "echo x > /dev/shm/x && stat -c '%a %F' /dev/shm /dev/pts/ptmx /dev/null; for f in ptmx fd stdin; do readlink "
      "/dev/$f; done;"
      "[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo no terminal; (: < /dev/tty) 2> /dev/null || echo none;"
      "echo x > /sys/kernel/uevent_seqnum; umask; cat /sys/firmware/* /proc/kcore 2> /dev/null");
  EXPECT_EQ(r.out,
            "1777 directory\n666 character special file\n666 character special "
            "file\npts/ptmx\n/proc/self/fd\n/proc/self/fd/0\nno terminal\nnone\n0022\n");
  EXPECT_NE(r.err.find("Read-only"), std::string::npos) << r.err;
}

TEST_P(Exec, EndsWithItsFirstProcessWhateverItLeavesBehind) {
  const auto r = m.shell("(setsid sleep 1000 &) & sleep 1000 & echo done; exit 4");
  EXPECT_EQ(r.out, "done\n");
  EXPECT_EQ(r.status.code, 4);
}

TEST_P(Exec, TellsTheSignalThatEndedIt) {
  m.request.args = {"sleep", "1000"};
  auto running = m.start({});
  running->signal(SIGKILL);
  const auto status = running->wait(m.ctx);
  EXPECT_EQ(status.kind, ExitKind::signaled);
  EXPECT_EQ(status.code, SIGKILL);
  EXPECT_EQ(m.shell("sh -c 'kill -SEGV $$'; exit $?").status.code, 128 + SIGSEGV);
}

TEST_P(Exec, SaysWhatToDoAboutArgumentsThatAreTooLong) {
  const auto message = [&] {
    try {
      const auto r = m.run(m.request.args);
      return r.status.message + r.err;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::invalid_argument);
      return e.message();
    }
  };
  m.request.args = {"true", std::string(131072, 'x')};
  EXPECT_EQ(message(),
            "argument 1 of the command has 131072 bytes, and Linux takes 131071: give it in a file or as stdin");
  m.request.args = {"true"};
  m.request.env = {{"BIG", std::string(131072, 'x')}};
  EXPECT_EQ(
      message(),
      "environment variable BIG is longer than Linux takes, which is 131071 bytes with its name: give it in a file");
  m.request.env.clear();
  m.request.args.insert(m.request.args.end(), 20, std::string(105000, 'x'));
  EXPECT_EQ(message().find("arguments and environment of the command have 2100193 bytes together"), 0U) << message();
  m.request.args.pop_back();
  EXPECT_EQ(message(), "");
}

TEST_P(Exec, HasOnlyLoopbackWithoutANetwork) {
  m.local.netns = plugin::Namespace::isolated;
  const auto r = m.shell("ip addr show lo; ls /sys/class/net");
  EXPECT_NE(r.out.find("inet 127.0.0.1/8"), std::string::npos) << r.out << r.err;
  EXPECT_NE(r.out.find("LOOPBACK,UP"), std::string::npos) << r.out;
  EXPECT_EQ(r.out.find("eth"), std::string::npos) << r.out;
}

TEST_P(Exec, SaysThatTheMemoryLimitWasHit) {
  if (!m.executor().traits().limits) GTEST_SKIP() << "no cgroups";
  m.request.limits.memory_bytes = 64 << 20;
  const auto r = m.run({"dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1"});
  EXPECT_EQ(r.status.kind, ExitKind::oom_killed) << r.status.message << r.err;
}

// Every process of an exec holds its standard output: the reader meets the end when the last is gone.
bool ends_within_a_second(int fd) {
  pollfd p{fd, POLLIN, 0};
  for (char c = 0; ::poll(&p, 1, 1000) == 1;)
    if (::read(fd, &c, 1) == 0) return true;
  return false;
}

constexpr const char* lasting = "sleep 1000 & echo ready; sleep 1000";

TEST_P(Exec, EndsEveryProcessWhenTheHandleIsDestroyed) {
  m.request.args = {"sh", "-c", lasting};
  Pipe out;
  auto running = m.start({-1, out.write.get(), -1});
  out.write.reset();
  char c = 0;
  ASSERT_EQ(::read(out.read.get(), &c, 1), 1);
  running.reset();
  EXPECT_TRUE(ends_within_a_second(out.read.get()));
}

TEST_P(Exec, ReportsACancelledWait) {
  m.request.args = {"sleep", "1000"};
  auto running = m.start({});
  CancelSource source;
  FakeContext cancelled(source.token());
  source.request("test");
  EXPECT_THROW(running->wait(cancelled), Error);
}

std::size_t leftover_groups() {
  std::size_t count = 0;
  for (const auto& h :
       oci::parse_cgroups(read_file("/proc/self/mountinfo"), read_file("/proc/self/cgroup")).hierarchies) {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(h.own.c_str()), ::closedir);
    while (const dirent* e = dir ? ::readdir(dir.get()) : nullptr)
      count += std::string_view(e->d_name).substr(0, 7) == "dagger-" ? 1 : 0;
  }
  return count;
}

// A child process that is an engine of its own, with a lasting exec that writes a line to out.
pid_t start_engine(const char* runtime, Pipe& out, Pipe& leftovers) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    try {
      ExecMachine engine{runtime};
      std::string text;
      for (const auto& path : engine.temporary()) text += path + "\n";
      write_all(leftovers.write.get(), text);
      engine.request.args = {"sh", "-c", lasting};
      const auto running = engine.start({-1, out.write.get(), -1});
      running->wait(engine.ctx);
    } catch (const std::exception& e) {
      ::dprintf(2, "%s\n", e.what());
    }
    ::_exit(1);
  }
  out.write.reset();
  leftovers.write.reset();
  return pid;
}

TEST(ExecOfAKilledEngine, LeavesNoProcessAndNoMountAndTheNextEngineRemovesItsGroups) {
  for (const char* runtime : {"crun", "runc"}) {
    const auto groups_before = leftover_groups();
    const auto mounts_before = read_file("/proc/self/mountinfo");
    Pipe out, leftovers;
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    const pid_t engine = start_engine(runtime, out, leftovers);
    char c = 0;
    ASSERT_EQ(::read(out.read.get(), &c, 1), 1) << runtime;
    ::kill(engine, SIGKILL);
    EXPECT_TRUE(ends_within_a_second(out.read.get())) << runtime;
    while (::waitpid(-1, nullptr, 0) > 0) {  // the engine, and its helper, which is ours now
    }
    EXPECT_EQ(read_file("/proc/self/mountinfo"), mounts_before);
    const oci::Cgroups next(false);
    EXPECT_EQ(leftover_groups(), groups_before) << runtime;
    const auto text = rest_of(leftovers.read.get());
    for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
      remove_tree(text.substr(at, end - at));
  }
}

// Runs body in a child with a mount namespace of its own, where change has been applied.
template <class Change, class Body>
int in_changed_namespace(Change change, Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    int result = 99;
    try {
      if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        throw_errno("unshare");
      change();
      result = body();
    } catch (const std::exception& e) {
      ::dprintf(2, "%s\n", e.what());
    }
    ::_exit(result);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int run_both_kinds(const char* runtime) {
  ExecMachine engine{runtime};
  const auto r = engine.shell("echo x > /dev/null && exit 5");
  if (r.status.kind != ExitKind::exited) throw Error(Code::internal, r.status.message + r.err);
  engine.request.root_capabilities = true;
  const auto privileged = engine.shell("exit 0");
  if (privileged.status.kind != ExitKind::exited)
    throw Error(Code::internal, privileged.status.message + privileged.err);
  return r.status.code;
}

void v2_alone() {
  ::umount2("/sys/fs/cgroup", MNT_DETACH);
  if (::mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, nullptr) != 0) throw_errno("mount cgroup2");
}

void no_cgroups() { ::umount2("/sys/fs/cgroup", MNT_DETACH); }

TEST(ExecOnAnyCgroupLayout, RunsWithTheV2HierarchyAlone) {
  for (const char* runtime : {"crun", "runc"})
    EXPECT_EQ(in_changed_namespace(v2_alone, [&] { return run_both_kinds(runtime); }), 5) << runtime;
}

TEST(ExecOnAnyCgroupLayout, RunsWithV1HierarchiesAlone) {
  const auto v1 = [] { ::umount2("/sys/fs/cgroup/unified", MNT_DETACH); };
  for (const char* runtime : {"crun", "runc"})
    EXPECT_EQ(in_changed_namespace(v1, [&] { return run_both_kinds(runtime); }), 5) << runtime;
}

TEST(ExecOnAnyCgroupLayout, RunsWithoutAnyOrSaysThatTheRuntimeCannot) {
  EXPECT_EQ(in_changed_namespace(no_cgroups, [] { return run_both_kinds("crun"); }), 5);
  const auto refused = [] {
    try {
      ExecMachine{"runc"};
    } catch (const Error& e) {
      return e.code() == Code::unsupported ? 5 : 1;
    }
    return 0;
  };
  EXPECT_EQ(in_changed_namespace(no_cgroups, refused), 5);
}

int try_disks(const char* runtime) {
  ExecMachine engine{runtime};
  mount_disks(engine);
  const auto r = engine.shell(std::string(open_disks) + "; echo x > /dev/null && exit 5");
  if (!r.out.empty()) throw Error(Code::internal, r.out);
  return r.status.code;
}

TEST(ExecOnAnyCgroupLayout, OpensNoDisksOfAnImage) {
  for (const char* runtime : {"crun", "runc"})
    EXPECT_EQ(in_changed_namespace(v2_alone, [&] { return try_disks(runtime); }), 5) << runtime;
  EXPECT_EQ(in_changed_namespace(no_cgroups, [] { return try_disks("crun"); }), 5);
}

INSTANTIATE_TEST_SUITE_P(Runtimes, Exec, ::testing::Values("crun", "runc"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dagger
