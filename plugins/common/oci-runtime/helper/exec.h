// plugins/common/oci-runtime/helper/exec.h — the process that one exec runs under.
#pragma once

// Called in pid 1 of new pid and mount namespaces, with the plan and the answer pipe in place (see plan.h): prepares
// mounts, runs the OCI runtime, tells how the container ended, ends. directory: what the plan mounts its tmpfs on.
[[noreturn]] void run_exec(const char* directory);
