#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <memory>

#include "plugins/common/oci-runtime/seccomp.h"
#include "plugins/common/sys/sys.h"

namespace dagger::oci {
namespace {

constexpr std::size_t max_program = sizeof(sock_filter) * BPF_MAXINSNS;

// By the native architecture first; libseccomp's tokens are the kernel's own numbers.
#if defined(__x86_64__)
constexpr std::uint32_t architectures[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86};
#elif defined(__aarch64__)
constexpr std::uint32_t architectures[] = {SCMP_ARCH_AARCH64, SCMP_ARCH_ARM};
#else
#error "no system call filter for this architecture"
#endif

void check(int result, const char* what) {
  if (result < 0) throw sys::error(-result, std::string("compile the system call filter: ") + what);
}

void add(scmp_filter_ctx filter, const SeccompRule& rule) {
  using When = SeccompRule::When;
  const std::uint32_t action = rule.error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(static_cast<unsigned>(rule.error));
  scmp_arg_cmp first{0, SCMP_CMP_EQ, rule.value, 0};
  if (rule.when == When::not_equal) first.op = SCMP_CMP_NE;
  if (rule.when == When::none_of_bits) first.op = SCMP_CMP_MASKED_EQ;
  for (const auto& name : rule.calls) {
    const int call = ::seccomp_syscall_resolve_name(name.c_str());
    if (call == __NR_SCMP_ERROR) continue;  // newer than the tables
    check(::seccomp_rule_add_array(filter, action, call, rule.when == When::always ? 0 : 1, &first), name.c_str());
  }
}

// The highest number in the tables. Architectures have private calls far above the others: those do not count.
constexpr int above_all_calls = 0x10000;
std::uint32_t newest_call(std::uint32_t architecture) {
  std::uint32_t newest = 0;
  for (std::uint32_t n = 0; n < 2048; ++n) {
    const std::unique_ptr<char, decltype(&std::free)> name(
        ::seccomp_syscall_resolve_num_arch(architecture, static_cast<int>(n)), std::free);
    if (name) newest = n;
  }
  return newest;
}

// Comes before the compiled filter: ENOSYS for what is newer than the tables.
std::string newer_calls() {
  constexpr unsigned load = BPF_LD | BPF_W | BPF_ABS;
  constexpr std::size_t block = 5;
  std::vector<sock_filter> p = {BPF_STMT(load, offsetof(seccomp_data, arch))};
  for (std::size_t i = 0; i < std::size(architectures); ++i) {
    const auto rest = static_cast<__u8>(block * (std::size(architectures) - i - 1));
    p.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architectures[i], 0, block - 1));
    p.push_back(BPF_STMT(load, offsetof(seccomp_data, nr)));
    p.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, newest_call(architectures[i]), 0, static_cast<__u8>(rest + 2)));
    p.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, above_all_calls, static_cast<__u8>(rest + 1), 0));
    p.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  return std::string(reinterpret_cast<const char*>(p.data()), p.size() * sizeof(sock_filter));
}

}  // namespace

std::string seccomp_program(const std::vector<SeccompRule>& rules) {
  const std::unique_ptr<void, decltype(&::seccomp_release)> filter(::seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                                   ::seccomp_release);
  if (!filter) throw Error(Code::internal, "compile the system call filter: no memory");
  for (const auto architecture : architectures)
    if (architecture != ::seccomp_arch_native()) check(::seccomp_arch_add(filter.get(), architecture), "architecture");
  // Calls of an unknown architecture, as x32 is where the kernel has it: as if the kernel did not.
  check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)), "other architectures");
  check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "a tree by number");
  for (const auto& rule : rules) add(filter.get(), rule);
  const UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) sys::fail("make a file in memory");
  check(::seccomp_export_bpf(filter.get(), memory.get()), "write");
  if (::lseek(memory.get(), 0, SEEK_SET) != 0) sys::fail("read the system call filter");
  return newer_calls() + sys::read_all(memory.get(), max_program);
}

}  // namespace dagger::oci
