// plugins/common/oci-runtime/seccomp.h — the default system call filter of an exec without root_capabilities.
//
// Its effect is that of other engines' default: an allow list that answers EPERM to the rest, some calls only with the
// capability that the kernel would ask for anyway, no new user namespaces by clone, ENOSYS for clone3 (whose flags a
// filter cannot see, so that C libraries fall back to clone). Pure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace dagger::oci {

struct SeccompRule {
  enum class When { always, equal, not_equal, none_of_bits };  // the first argument, compared with value
  std::vector<std::string> calls;
  int error = 0;  // the errno to answer with; 0: allowed
  When when = When::always;
  std::uint64_t value = 0;
};

// For a process that has these capabilities ("CAP_CHOWN"). What no rule names is answered with EPERM.
std::vector<SeccompRule> default_seccomp(const std::vector<std::string>& capabilities);

// The rules as the value of linux.seccomp in an OCI configuration.
nlohmann::json seccomp_json(const std::vector<SeccompRule>& rules);

// The rules compiled: what seccomp(SECCOMP_SET_MODE_FILTER) takes. To compile costs some 10 ms. System calls newer than
// the compiler's tables get ENOSYS, as from a kernel without them, so that C libraries fall back.
std::string seccomp_program(const std::vector<SeccompRule>& rules);

}  // namespace dagger::oci
