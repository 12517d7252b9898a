// plugins/common/oci-runtime/seccomp.h — the default system call filter of an exec without root_capabilities.
//
// Its effect is that of other engines' default: an allow list that answers EPERM to the rest, some calls only with the
// capability that the kernel would ask for anyway, no new user namespaces by clone, ENOSYS for clone3 (whose flags a
// filter cannot see, so that C libraries fall back to clone). Pure.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace dagger::oci {

// The value of linux.seccomp in an OCI configuration, for a process that has these capabilities ("CAP_CHOWN").
nlohmann::json default_seccomp(const std::vector<std::string>& capabilities);

}  // namespace dagger::oci
