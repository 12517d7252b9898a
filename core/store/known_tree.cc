#include "core/store/known_tree.h"

#include <fcntl.h>

#include "core/base/cbor_fields.h"
#include "core/base/fs.h"

namespace dagger::store {
namespace {
constexpr const char* tree_table = "local";
constexpr const char* place_table = "local-place";  // digest of a hint -> that of the last tree from there

std::string place_of(const std::string& hint) { return std::string(Digest::of(hint).raw()); }

}  // namespace

template <class A>
void fields(A& a, KnownTree& t) {
  a.begin(2), a.field(t.layer), a.field(t.nodes);
}

std::optional<KnownTree> known_tree(Store& store, const Digest& tree) {
  const auto packed = store.value(tree_table, std::string(tree.raw()));
  if (!packed) return std::nullopt;
  const auto known = cbor::unpack<KnownTree>(*packed);
  if (known.layer != 0 && !store.layer(known.layer)) return std::nullopt;
  return known;
}

void keep_known_tree(Store& store, const Digest& tree, const KnownTree& known) {
  store.put_value(tree_table, std::string(tree.raw()), cbor::pack(known));
}

void keep_last_tree(Store& store, const std::string& hint, const Digest& tree) {
  if (!hint.empty()) store.put_value(place_table, place_of(hint), std::string(tree.raw()));
}

BaseTree BaseTree::find(Store& store, const std::string& hint) {
  BaseTree base;
  const auto last = hint.empty() ? std::nullopt : store.value(place_table, place_of(hint));
  if (!last) return base;
  try {
    const Digest root = Digest::from_bytes(*last);
    const auto known = known_tree(store, root);
    if (!known || known->layer == 0) return base;
    base.lease = store.lease({known->layer});
    base.dir = open_file(store.layer(known->layer)->places.front().path, O_PATH | O_DIRECTORY);
    base.pack = std::make_unique<const std::string>(read_all(store.open_blob(known->nodes).get(), max_pack));
    cbor::Reader reader(*base.pack);
    for (std::size_t n = reader.array(); n != 0; --n) {
      const auto node = reader.bytes();
      base.nodes.emplace(Digest::of(node), node);
    }
    base.root = root;
  } catch (const Error&) {
    return BaseTree();
  }
  return base;
}

}  // namespace dagger::store
