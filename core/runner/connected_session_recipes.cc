// What ids stand for.
#include <unordered_map>

#include "core/runner/connected_session.h"

namespace dagger::runner {

Task<link::Empty> ConnectedSession::put_recipe(link::Recipe recipe, CancelToken) {
  std::vector<const dag::Vertex*> open, fresh;
  for (const auto& top : recipe.ops) {
    open.push_back(graph_->find(top));
    if (open.back() == nullptr) throw Error(Code::not_found, "a recipe names an op that was not put: " + top.str());
  }
  while (!open.empty()) {  // what was kept before needs no look, nor what it is made of
    const auto* v = open.back();
    open.pop_back();
    if (!kept_ops_.insert(v->digest).second) continue;
    fresh.push_back(v);
    open.insert(open.end(), v->inputs.begin(), v->inputs.end());
  }
  const auto keep = graph_;  // the vertices live in it
  co_await on_pool(loop_, solver_.io(), [&] {
    for (const auto* v : fresh) solver_.store().put_value("op", std::string(v->digest.raw()), dag::encode(v->op));
    solver_.store().put_value("recipe", recipe.id, cbor::pack(recipe));
  });
  co_return {};
}

Task<link::Recipe> ConnectedSession::get_recipe(link::RecipeId id, CancelToken) {
  std::vector<dag::Op> ops;
  auto recipe = co_await on_pool(loop_, solver_.io(), [&] {
    const auto packed = solver_.store().value("recipe", id.id);
    if (!packed)
      throw Error(Code::not_found,
                  "unknown id '" + id.id.substr(0, 80) + "': made by another runner, or unused for 7 days");
    auto found = cbor::unpack<link::Recipe>(*packed);
    // Inputs first, without recursion: an op is emitted when it is met the second time.
    std::vector<std::pair<Digest, bool>> open;
    std::unordered_set<Digest> emitted;
    std::unordered_map<Digest, dag::Op> read;
    for (const auto& top : found.ops) open.push_back({top, false});
    while (!open.empty()) {
      const auto [digest, inputs_done] = open.back();
      open.pop_back();
      if (emitted.contains(digest)) continue;
      if (inputs_done) {
        emitted.insert(digest);
        ops.push_back(std::move(read.at(digest)));
        continue;
      }
      const auto encoded = solver_.store().value("op", std::string(digest.raw()));
      if (!encoded) throw Error(Code::not_found, "id '" + id.id + "' has expired: a part of it is gone");
      auto op = dag::decode(*encoded);
      open.push_back({digest, true});
      for (const auto& in : op.inputs) open.push_back({in.op, false});
      read.insert_or_assign(digest, std::move(op));
    }
    return found;
  });
  co_await add_ops(std::move(ops));
  co_return recipe;
}

}  // namespace dagger::runner
