// core/store/flatten.h — stacks that are longer than a snapshotter can stack. Pure.
#pragma once
#include <functional>

#include "core/store/store.h"

namespace dagger::store {

// A stack of at most max layers with the same content: its lowest layers, in groups of max / 4, are each replaced by
// one() of the group. Groups are counted from the bottom, so that a stack that grows gives the same groups again and
// each layer is merged once (and each group once, where a stack is so long that groups are grouped). A stack that is
// short enough stays as it is.
Stack flatten(Stack stack, std::size_t max, const std::function<LayerId(const Stack&)>& one);

}  // namespace dagger::store
