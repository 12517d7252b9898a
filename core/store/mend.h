// core/store/mend.h — what a stack of unpacked layers takes to look as if they had been unpacked over each other.
//
// See core/store/unpack/loose.h for what is missing. The layers stay as they are, since other stacks share them: a
// further layer, of directories only, goes on top. A directory that it has gets back the attributes that the layers
// below gave it, and is a merged one, whose whiteouts nobody sees. [thread-safe] [blocking]
#pragma once
#include <optional>

#include "core/store/store.h"

namespace dagger::store {

// The layer to put on top; nothing where the stack is complete, as it is for most images. Throws cancelled, no_space.
std::optional<LayerId> mend(Store& store, const Stack& stack, plugin::CallContext& ctx);

}  // namespace dagger::store
