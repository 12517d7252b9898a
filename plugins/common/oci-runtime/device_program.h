// plugins/common/oci-runtime/device_program.h — which devices a container may use, for both kinds of cgroups.
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/unique_fd.h"

namespace dagger::oci {

// Lines for devices.allow of a v1 group that denies the rest: making any node, and using the harmless ones.
std::vector<std::string> allowed_devices_v1();
// The same as a loaded BPF_PROG_TYPE_CGROUP_DEVICE; empty where the kernel or the privileges lack it.
UniqueFd load_device_program() noexcept;
bool attach_device_program(int program, int cgroup) noexcept;

}  // namespace dagger::oci
