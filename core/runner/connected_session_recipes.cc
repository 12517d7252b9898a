// What ids stand for: kept in the store with all it is made of, and found again by any session of the runner.
#include <unordered_map>
#include <unordered_set>

#include "core/runner/connected_session.h"
#include "core/solver/turns.h"

namespace dagger::runner {
namespace {

Error too_much(const std::string& limit) {
  return {Code::no_space, "the ids of this session stand for more than " + limit +
                              ", which is all that one session may keep; ask for fewer ids, or in another session"};
}

Error too_many_steps(std::size_t limit) { return too_much(std::to_string(limit) + " different steps"); }
Error too_many_bytes(std::size_t limit) { return too_much(std::to_string(limit) + " bytes"); }

std::size_t size_of(const link::Recipe& r) {
  return r.id.size() + r.kind.size() + r.body.size() + r.ops.size() * Digest().raw().size();
}

// Reads a recipe and all it is made of. Pool thread.
class RecipeReader {
 public:
  RecipeReader(store::Store& store, const RecipeLimits& limits, CancelToken cancel)
      : store_(store), limits_(limits), cancel_(std::move(cancel)) {}

  link::Recipe read(const std::string& id) {
    const auto packed = store_.value("recipe", id);
    if (!packed)
      throw Error(Code::not_found,
                  "unknown id '" + id.substr(0, 80) + "': made by another runner, or unused for 7 days");
    count(packed->size());
    auto recipe = cbor::unpack<link::Recipe>(*packed);
    for (const auto& top : recipe.ops) read_op(top);
    return recipe;
  }
  std::vector<dag::DigestedOp> take_ops() { return std::move(ops_); }  // inputs before their users

 private:
  // Without recursion: an op is emitted when it is met the second time.
  void read_op(const Digest& top) {
    std::vector<std::pair<Digest, bool>> open{{top, false}};
    while (!open.empty()) {
      const auto [digest, inputs_done] = open.back();
      open.pop_back();
      if (inputs_done) {
        if (const auto at = waiting_.find(digest); at != waiting_.end()) {
          ops_.push_back(dag::digested(std::move(at->second)));
          waiting_.erase(at);
        }
        continue;
      }
      if (!seen_.insert(digest).second) continue;
      auto op = decoded(digest);
      open.emplace_back(digest, true);
      for (const auto& in : op.inputs) open.emplace_back(in.op, false);
      waiting_.insert_or_assign(digest, std::move(op));
    }
  }
  dag::Op decoded(const Digest& digest) {
    cancel_.throw_if_cancelled();
    if (seen_.size() > limits_.ops) throw too_many_steps(limits_.ops);
    const auto encoded = store_.value("op", std::string(digest.raw()));
    if (!encoded) throw Error(Code::not_found, "the id has expired: a part of what it stands for is gone");
    count(encoded->size());
    return dag::decode(*encoded);
  }
  void count(std::size_t bytes) {
    bytes_ += bytes;
    if (bytes_ > limits_.bytes) throw too_many_bytes(limits_.bytes);
  }

  store::Store& store_;
  const RecipeLimits& limits_;
  const CancelToken cancel_;
  std::size_t bytes_ = 0;
  std::unordered_set<Digest> seen_;
  std::unordered_map<Digest, dag::Op> waiting_;  // for their inputs
  std::vector<dag::DigestedOp> ops_;
};

}  // namespace

Task<void> ConnectedSession::count_ops(const std::vector<Digest>& tops, std::vector<const dag::Vertex*>& fresh,
                                       CancelToken cancel) {
  const auto limit = info_.recipe_limits.ops;
  solver::Turns turns(loop_);
  std::vector<const dag::Vertex*> open;
  for (const auto& top : tops) {
    open.push_back(graph_->find(top));
    if (open.back() == nullptr) throw Error(Code::not_found, "a recipe names an op that was not put: " + top.str());
    while (!open.empty()) {  // what was kept before needs no look, nor what it is made of
      if (turns.over()) {
        co_await turns.next();
        cancel.throw_if_cancelled();
      }
      const auto* v = open.back();
      open.pop_back();
      if (kept_ops_.contains(v->digest)) continue;
      if (kept_ops_.size() == limit) throw too_many_steps(limit);
      kept_ops_.insert(v->digest);
      fresh.push_back(v);
      open.insert(open.end(), v->inputs.begin(), v->inputs.end());
    }
  }
}

// Reads ops on a thread of the pool while the graph may grow: a vertex neither moves nor changes once it is in the
// graph, which is kept alive here.
Task<std::size_t> ConnectedSession::keep(const link::Recipe& recipe, const std::vector<const dag::Vertex*>& fresh) {
  const auto graph = graph_;
  const auto room = info_.recipe_limits.bytes - kept_bytes_;
  co_return co_await on_pool(loop_, solver_.io(), [&] {
    auto packed = cbor::pack(recipe);
    auto bytes = packed.size();
    std::vector<std::string> encoded;
    for (const auto* v : fresh) {
      bytes += encoded.emplace_back(dag::encode(v->op)).size();
      if (bytes > room) break;
    }
    if (bytes > room) throw too_many_bytes(info_.recipe_limits.bytes);  // before any of it is kept
    for (std::size_t i = 0; i < fresh.size(); ++i)
      solver_.store().put_value("op", std::string(fresh[i]->digest.raw()), std::move(encoded[i]));
    solver_.store().put_value("recipe", recipe.id, std::move(packed));
    return bytes;
  });
}

// One at a time: two that share ops would else count them twice, or rely on ops that are not in the store yet.
Task<link::Empty> ConnectedSession::put_recipe(link::Recipe recipe, CancelToken cancel) {
  const auto& limits = info_.recipe_limits;
  if (const auto bytes = size_of(recipe); bytes > limits.recipe_bytes)
    throw Error(Code::invalid_argument, "an object of " + std::to_string(bytes) + " bytes is over the limit of " +
                                            std::to_string(limits.recipe_bytes) +
                                            " for one with an id; put large values in files");
  auto turn = recipe_puts_.enter(loop_);
  co_await turn.comes();
  if (kept_recipes_ >= limits.recipes) throw too_much(std::to_string(limits.recipes) + " objects");
  std::vector<const dag::Vertex*> fresh;
  std::exception_ptr failed;
  try {
    co_await count_ops(recipe.ops, fresh, std::move(cancel));
    kept_bytes_ += co_await keep(recipe, fresh);
    ++kept_recipes_;
  } catch (...) {
    failed = std::current_exception();
  }
  if (!failed) co_return {};
  solver::Turns turns(loop_);
  for (const auto* v : fresh) {  // they are counted when it is tried again
    kept_ops_.erase(v->digest);
    if (turns.over()) co_await turns.next();
  }
  std::rethrow_exception(failed);
}

Task<link::Recipe> ConnectedSession::get_recipe(link::RecipeId id, CancelToken cancel) {
  std::vector<dag::DigestedOp> ops;
  auto recipe = co_await on_pool(loop_, solver_.io(), [&] {
    RecipeReader reader(solver_.store(), info_.recipe_limits, std::move(cancel));
    auto read = reader.read(id.id);
    ops = reader.take_ops();
    return read;
  });
  co_await add_ops(std::move(ops));
  co_return recipe;
}

}  // namespace dagger::runner
