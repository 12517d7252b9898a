// plugins/common/overlay/change_set.h — counts what an upper directory holds.
#pragma once
#include <cstdint>
#include <string>

#include "dagger/plugin/plugin.h"

namespace dagger::overlay {

struct ChangeSet {
  std::uint64_t bytes = 0;    // on disk; a file with several links once
  std::uint64_t entries = 0;  // objects below the root, whiteouts too
};

// Throws cancelled.
ChangeSet measure(const std::string& directory, plugin::CallContext& ctx);

}  // namespace dagger::overlay
