#include "plugins/common/oci-runtime/seccomp.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include <nlohmann/json.hpp>

namespace dagger::oci {
namespace {

using nlohmann::json;

// By subject; names of every architecture together, since a filter ignores those its architecture lacks.
constexpr const char* always =
    // files and directories
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 "
    "fadvise64 "
    "fadvise64_64 fallocate fchdir fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync flock fstat "
    "fstat64 "
    "fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 lchown lchown32 link "
    "linkat lseek _llseek lstat lstat64 mkdir mkdirat mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 "
    "preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir "
    "sendfile sendfile64 splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range "
    "sync_file_range2 arm_sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat "
    "utimensat_time64 utimes vmsplice write writev ioctl "
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr lremovexattr lsetxattr "
    "removexattr setxattr "
    "fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch name_to_handle_at "
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self "
    // waiting
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
    "eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll "
    "ppoll_time64 pselect6 pselect6_time64 select _newselect signalfd signalfd4 "
    // memory
    "brk get_mempolicy set_mempolicy_home_node madvise membarrier memfd_create memfd_secret mincore mlock mlock2 "
    "mlockall "
    "mmap mmap2 mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise "
    "process_mrelease remap_file_pages "
    // processes and threads
    "alarm arch_prctl capget capset execve execveat exit exit_group fork futex futex_time64 futex_waitv "
    "get_robust_list "
    "get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp "
    "getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid "
    "getuid32 ioprio_get ioprio_set kill modify_ldt nanosleep clock_nanosleep clock_nanosleep_time64 pause pidfd_open "
    "pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo "
    "rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval "
    "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield "
    "seccomp "
    "set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups "
    "setgroups32 setitimer getitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid "
    "setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sigaltstack sigprocmask sigreturn tgkill tkill "
    "ugetrlimit vfork wait4 waitid waitpid "
    "arm_fadvise64_64 breakpoint cacheflush set_tls "
    // time
    "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "gettimeofday "
    "time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 "
    "timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times "
    // between processes
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
    "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget "
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 "
    "recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair "
    // the system
    "getrandom sysinfo uname "
    // tracing of one's own children, harmless since Linux 4.8
    "ptrace process_vm_readv process_vm_writev";

struct WithCapability {
  const char* capability;
  const char* calls;
};
constexpr WithCapability with_capability[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount "
     "open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module init_module finit_module"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd"},
    {"CAP_SYS_RAWIO", "iopl ioperm"},
    {"CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYS_NICE", "mbind set_mempolicy"},
    {"CAP_SYSLOG", "syslog"},
    {"CAP_BPF", "bpf"},
    {"CAP_PERFMON", "perf_event_open"},
};

std::vector<std::string> words(const char* text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string word; in >> word;) out.push_back(std::move(word));
  return out;
}

const char* operator_name(SeccompRule::When when) {
  switch (when) {
    case SeccompRule::When::equal:
      return "SCMP_CMP_EQ";
    case SeccompRule::When::not_equal:
      return "SCMP_CMP_NE";
    default:
      return "SCMP_CMP_MASKED_EQ";
  }
}

}  // namespace

std::vector<SeccompRule> default_seccomp(const std::vector<std::string>& capabilities) {
  using When = SeccompRule::When;
  constexpr std::uint64_t new_namespaces =
      CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
  constexpr std::uint64_t vsock = 40;
  const auto has = [&](const char* name) {
    return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
  };
  std::vector<SeccompRule> rules = {{words(always)}};
  for (const std::uint64_t persona : {0x0ULL, 0x8ULL, 0x20000ULL, 0x20008ULL, 0xffffffffULL})
    rules.push_back({{"personality"}, 0, When::equal, persona});
  // A host's own services listen on vsock without asking who calls.
  rules.push_back({{"socket"}, 0, When::not_equal, vsock});
  for (const auto& [capability, names] : with_capability)
    if (has(capability)) rules.push_back({words(names)});
  if (!has("CAP_SYS_ADMIN")) {
    rules.push_back({{"clone"}, 0, When::none_of_bits, new_namespaces});
    rules.push_back({{"clone3"}, ENOSYS});
  }
  return rules;
}

json seccomp_json(const std::vector<SeccompRule>& rules) {
  json calls = json::array();
  for (const auto& rule : rules) {
    json call = {{"names", rule.calls}, {"action", rule.error == 0 ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO"}};
    if (rule.error != 0) call["errnoRet"] = rule.error;
    if (rule.when != SeccompRule::When::always)
      call["args"] =
          json::array({{{"index", 0}, {"value", rule.value}, {"valueTwo", 0}, {"op", operator_name(rule.when)}}});
    calls.push_back(std::move(call));
  }
  json architectures = json::array();
#if defined(__x86_64__)
  // Not X32, which is then refused: few kernels have it, and a runtime spends 5 ms of each start on its part of the
  // filter.
  architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
#elif defined(__aarch64__)
  architectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#endif
  return {{"defaultAction", "SCMP_ACT_ERRNO"},
          {"defaultErrnoRet", EPERM},
          {"architectures", std::move(architectures)},
          {"syscalls", std::move(calls)}};
}

}  // namespace dagger::oci
