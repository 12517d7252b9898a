// An archive among the runner's own files. Errors name the file and what the operator can do.
#pragma once
#include <dagger/plugin/plugin.h>

#include <string>
#include <vector>

#include "reference.h"
#include "spool.h"

namespace source_archive {

// Copies the file into the spool: what was hashed is what is unpacked, whoever writes to the file meanwhile.
// roots: directories that the operator opened for this; symbolic links may not lead out of them.
void copy_local_file(const Reference& ref, const std::vector<std::string>& roots, Spool& spool,
                     dagger::plugin::CallContext& ctx);

}  // namespace source_archive
