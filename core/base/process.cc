#include "core/base/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/base/elsewhere.h"
#include "core/base/fs.h"
#include "core/base/pool.h"

namespace dagger {
namespace {

// ThreadSanitizer follows fork, but not a child that shares its memory.
#if defined(__SANITIZE_THREAD__)
constexpr bool share_memory = false;
#elif defined(__has_feature)
constexpr bool share_memory = !__has_feature(thread_sanitizer);
#else
constexpr bool share_memory = true;
#endif

// What the child needs, prepared before clone so that it allocates nothing.
struct Prepared {
  std::vector<char*> argv, env;
  std::vector<int> fds;  // by number in the child: 0, 1, 2, 3, ...
  const char* cwd;
  bool die_with_parent, new_session;
  int self;  // pidfd of this process
  const Inherited* inherited;
  int* error;  // in memory that child and parent share: errno of what failed
};

// Runs in the child with the parent's memory, the parent being suspended (CLONE_VFORK): raw system calls only.
int child_main(void* argument) {
  auto& p = *static_cast<Prepared*>(argument);
  const auto fail = [&p] {
    *p.error = errno;
    ::_exit(127);
    return 127;
  };
  // With CLONE_VM the dispositions are still a copy (no CLONE_SIGHAND), so this does not touch the parent's.
  for (int s = 1; s < NSIG; ++s) {
    struct sigaction action{};
    action.sa_handler = ::sigismember(&p.inherited->ignored, s) == 1 ? SIG_IGN : SIG_DFL;
    ::sigaction(s, &action, nullptr);
  }
  if (p.new_session && ::setsid() < 0) return fail();
  if (p.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail();
    pollfd parent{p.self, POLLIN, 0};  // it may have been killed before; getppid() tells nothing in a new pid namespace
    if (::poll(&parent, 1, 0) != 0) ::_exit(127);
  }
  // First above every number that is wanted, then down: no dup2 overwrites an fd that is still needed.
  const int above = static_cast<int>(p.fds.size()) + 3;
  for (int& fd : p.fds) {
    fd = ::fcntl(fd, F_DUPFD_CLOEXEC, above);
    if (fd < 0) return fail();
  }
  for (std::size_t i = 0; i < p.fds.size(); ++i)
    if (::dup2(p.fds[i], static_cast<int>(i)) < 0) return fail();
  // Libraries open fds of their own, not all with O_CLOEXEC.
  ::close_range(static_cast<unsigned>(p.fds.size()), ~0U, CLOSE_RANGE_CLOEXEC);
  for (const int fd : p.inherited->files) ::fcntl(fd, F_SETFD, 0);
  if (::chdir(p.cwd) != 0) return fail();
  ::umask(p.inherited->umask);
  ::pthread_sigmask(SIG_SETMASK, &p.inherited->blocked, nullptr);
  ::execve(p.argv[0], p.argv.data(), p.env.data());
  return fail();
}

// A mapping with a guard page below, as the child's stack.
class Stack {
 public:
  Stack()
      : base_(::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                     (share_memory ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {
    if (base_ == MAP_FAILED) throw_errno("map a stack");
    ::mprotect(base_, 4096, PROT_NONE);
  }
  ~Stack() { ::munmap(base_, size); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  void* top() const { return static_cast<char*>(base_) + size - kept; }
  int& error() const { return *reinterpret_cast<int*>(top()); }  // lives above the stack proper; 0 at first

 private:
  static constexpr std::size_t size = 128 * 1024, kept = 64;
  void* base_;
};

Child start(const SpawnRequest& request) {
  const auto null = open_file("/dev/null", O_RDWR);
  Prepared p{};
  for (const auto& a : request.argv) p.argv.push_back(const_cast<char*>(a.c_str()));
  for (const auto& e : request.env) p.env.push_back(const_cast<char*>(e.c_str()));
  p.argv.push_back(nullptr);
  p.env.push_back(nullptr);
  for (const int fd : request.stdio) p.fds.push_back(fd >= 0 ? fd : null.get());
  p.fds.insert(p.fds.end(), request.keep.begin(), request.keep.end());
  p.cwd = request.cwd.c_str();
  p.die_with_parent = request.die_with_parent;
  p.new_session = request.new_session;
  const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!self) throw_errno("open a pidfd");
  p.self = self.get();
  const Inherited nothing;
  p.inherited = request.inherited != nullptr ? request.inherited : &nothing;

  const Stack stack;
  p.error = &stack.error();
  int pidfd = -1;
  sigset_t all, old;  // no handler of ours may run in the child while it shares our memory
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  const pid_t pid = ::clone(
      child_main, stack.top(),
      static_cast<int>((share_memory ? CLONE_VM : 0) | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | request.clone_flags), &p,
      &pidfd);
  const int clone_errno = errno;
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (pid < 0) throw errno_error(clone_errno, "start " + request.argv[0]);
  Child child(UniqueFd(pidfd), pid);  // CLONE_PIDFD sets O_CLOEXEC
  if (*p.error != 0) {
    child.wait();
    throw errno_error(*p.error, "start " + request.argv[0]);
  }
  return child;
}

// Open across exec, above 2.
std::vector<int> inherited_files() {
  std::vector<int> files;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir("/proc/self/fd"), ::closedir);
  while (const dirent* entry = open ? ::readdir(open.get()) : nullptr) {
    const int fd = std::atoi(entry->d_name);  // 0 for "." and ".."
    if (fd > 2 && (::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) files.push_back(fd);
  }
  return files;
}

}  // namespace

Inherited Inherited::take() {
  Inherited all;
  all.umask = ::umask(0);
  ::umask(all.umask);
  ::pthread_sigmask(SIG_BLOCK, nullptr, &all.blocked);
  for (int s = 1; s < NSIG; ++s) {
    struct sigaction action{};
    if (::sigaction(s, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) ::sigaddset(&all.ignored, s);
  }
  all.files = inherited_files();
  for (const int fd : all.files) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return all;
}

struct Spawner::State {
  Pool thread{"spawner", 1};
};

Spawner::Spawner() : state_(std::make_unique<State>()) {}
Spawner::~Spawner() = default;

Child Spawner::spawn(const SpawnRequest& request) {
  return run_elsewhere([&](auto work) { state_->thread.submit(std::move(work)); }, [&] { return start(request); });
}

Child& Child::operator=(Child&& o) noexcept {
  if (this != &o) {
    Child old(std::move(*this));
    pidfd_ = std::move(o.pidfd_);
    pid_ = o.pid_;
  }
  return *this;
}

Child::~Child() {
  if (!pidfd_) return;
  signal(SIGKILL);
  wait();
}

void Child::signal(int number) const noexcept {
  if (pidfd_) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

Child::Status Child::wait() {
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0 && errno == EINTR) {
  }
  pidfd_.reset();
  return {info.si_code == CLD_EXITED, info.si_status};
}

std::string signal_text(int number) {
  const char* name = ::sigabbrev_np(number);
  return "signal " + (name != nullptr ? std::string(name) : std::to_string(number));
}

std::string find_program(const std::string& name, const std::string& path) {
  const auto runnable = [](const std::string& file) {
    struct stat st{};
    return ::stat(file.c_str(), &st) == 0 && S_ISREG(st.st_mode) && ::access(file.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) return runnable(name) ? name : std::string();
  for (std::size_t start = 0; start <= path.size();) {
    const auto colon = std::min(path.find(':', start), path.size());
    const std::string dir = path.substr(start, colon - start);
    if (const std::string file = (dir.empty() ? "." : dir) + "/" + name; runnable(file)) return file;
    start = colon + 1;
  }
  return {};
}

}  // namespace dagger
