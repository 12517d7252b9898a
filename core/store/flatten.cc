#include "core/store/flatten.h"

#include <algorithm>

namespace dagger::store {

Stack flatten(Stack stack, std::size_t max, const std::function<LayerId(const Stack&)>& one) {
  const std::size_t limit = std::max<std::size_t>(1, max), group = std::max<std::size_t>(2, max / 4);
  // Groups of groups, and so on; what does not fill a group of its level waits above.
  Stack above;
  while (stack.size() + above.size() > limit) {
    if (stack.size() < group) {
      stack.insert(stack.end(), above.begin(), above.end());
      above.clear();
    }
    Stack groups;
    auto at = stack.begin();
    for (; stack.end() - at >= static_cast<std::ptrdiff_t>(group); at += static_cast<std::ptrdiff_t>(group))
      groups.push_back(one(Stack(at, at + static_cast<std::ptrdiff_t>(group))));
    above.insert(above.begin(), at, stack.end());
    stack = std::move(groups);
  }
  stack.insert(stack.end(), above.begin(), above.end());
  return stack;
}

}  // namespace dagger::store
