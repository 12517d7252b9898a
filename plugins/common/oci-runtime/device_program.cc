#include "plugins/common/oci-runtime/device_program.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#include <cstdint>
#include <cstring>

namespace dagger::oci {
namespace {

struct Device {
  std::int32_t major, minor;  // minor -1: any
};
// null, zero, full, random, urandom; tty, console, ptmx; pseudo terminals
constexpr Device allowed[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, -1}};

bpf_insn instruction(unsigned code, unsigned dst, unsigned src, int off, std::int32_t imm) {
  bpf_insn i{};
  i.code = static_cast<__u8>(code);
  i.dst_reg = dst & 0xf;
  i.src_reg = src & 0xf;
  i.off = static_cast<__s16>(off);
  i.imm = imm;
  return i;
}

// r1: the context {access << 16 | type, major, minor}. Returns 1 to allow.
std::vector<bpf_insn> program() {
  constexpr unsigned load_word = BPF_LDX | BPF_MEM | BPF_W;
  constexpr unsigned jump_unless = BPF_JMP | BPF_JNE | BPF_K;
  std::vector<bpf_insn> p;
  const auto add = [&](unsigned code, unsigned dst, unsigned src, int off, std::int32_t imm) {
    p.push_back(instruction(code, dst, src, off, imm));
  };
  const auto leave = [&](std::int32_t verdict) {
    add(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, verdict);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  };
  add(load_word, 2, 1, 0, 0);  // r2 = type, r3 = access, r4 = major, r5 = minor
  add(BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0);
  add(BPF_ALU64 | BPF_RSH | BPF_K, 3, 0, 0, 16);
  add(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
  add(load_word, 4, 1, 4, 0);
  add(load_word, 5, 1, 8, 0);
  add(jump_unless, 3, 0, 2, BPF_DEVCG_ACC_MKNOD);  // only making a node: any
  leave(1);
  for (const auto& [major, minor] : allowed) {
    add(jump_unless, 2, 0, minor < 0 ? 3 : 4, BPF_DEVCG_DEV_CHAR);
    add(jump_unless, 4, 0, minor < 0 ? 2 : 3, major);
    if (minor >= 0) add(jump_unless, 5, 0, 2, minor);
    leave(1);
  }
  leave(0);
  return p;
}

long bpf(int command, bpf_attr& attr) { return ::syscall(SYS_bpf, command, &attr, sizeof attr); }

std::uint64_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

}  // namespace

std::vector<std::string> allowed_devices_v1() {
  std::vector<std::string> lines = {"c *:* m", "b *:* m"};
  for (const auto& [major, minor] : allowed)
    lines.push_back("c " + std::to_string(major) + ":" + (minor < 0 ? "*" : std::to_string(minor)) + " rwm");
  return lines;
}

UniqueFd load_device_program() noexcept {
  const auto code = program();
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = address(code.data());
  attr.insn_cnt = static_cast<std::uint32_t>(code.size());
  static constexpr char license[] = "Dual BSD/GPL";
  attr.license = address(license);
  return UniqueFd(static_cast<int>(bpf(BPF_PROG_LOAD, attr)));  // the kernel sets O_CLOEXEC
}

bool attach_device_program(int program_fd, int cgroup) noexcept {
  bpf_attr attr{};
  attr.target_fd = static_cast<std::uint32_t>(cgroup);
  attr.attach_bpf_fd = static_cast<std::uint32_t>(program_fd);
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  return bpf(BPF_PROG_ATTACH, attr) == 0;
}

}  // namespace dagger::oci
