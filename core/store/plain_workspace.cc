#include "core/store/plain_workspace.h"

#include <fcntl.h>

#include "core/base/fs.h"
#include "core/store/publisher.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/walk.h"

namespace dagger::store {

PlainWorkspace::PlainWorkspace(Publisher& publisher, Sweeper& sweeper, std::string form)
    : publisher_(publisher), form_(std::move(form)), work_(sweeper) {
  make_dirs(path(), 0755);
  root_ = open_file(path(), O_RDONLY | O_DIRECTORY);
  if (::fchmod(root_.get(), 0755) != 0) throw_errno("chmod " + path());
  before_ = stat_of(root_.get());
}

std::optional<LayerId> PlainWorkspace::seal(plugin::CallContext& ctx) {
  LayerRow row = account(ctx);
  const auto after = stat_of(root_.get());
  const bool same_root =
      before_.st_mode == after.st_mode && before_.st_uid == after.st_uid && before_.st_gid == after.st_gid;
  if (row.entries == 0 && same_root) return std::nullopt;
  return publish(std::move(row));
}

LayerId PlainWorkspace::publish(LayerRow row) { return publisher_.publish(path(), form_, std::move(row)); }

const char* PlainWorkspace::mark_prefix() const noexcept {
  return form_ == plugin::form::overlay_trusted ? trusted_overlay : user_overlay;
}

LayerRow PlainWorkspace::account(plugin::CallContext& ctx) const {
  LayerRow row;
  tree::walk(root_.get(), ctx, [&row](const tree::Step& s) {
    ++row.entries;
    // What another layer holds as well is not counted twice.
    if (s.stat.st_nlink < 2 || S_ISDIR(s.stat.st_mode)) row.bytes += static_cast<std::uint64_t>(s.stat.st_blocks) * 512;
    return true;
  });
  return row;
}

}  // namespace dagger::store
