#include "plugins/common/overlay/change_set.h"

#include <set>

#include "plugins/common/overlay/walk.h"

namespace dagger::overlay {
namespace {

class Count final : public Visitor {
 public:
  bool entry(int, const char*, const struct stat& st) override {
    ++total.entries;
    const bool again = st.st_nlink > 1 && !S_ISDIR(st.st_mode) && !linked_.insert(st.st_ino).second;
    if (!again) total.bytes += static_cast<std::uint64_t>(st.st_blocks) * 512;
    return true;
  }
  ChangeSet total;

 private:
  std::set<ino_t> linked_;
};

}  // namespace

ChangeSet measure(const std::string& directory, plugin::CallContext& ctx) {
  Count count;
  walk(directory, count, ctx);
  return count.total;
}

}  // namespace dagger::overlay
