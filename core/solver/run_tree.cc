// Ops that change a tree without running anything: a writable view, the change, a layer.
#include <unistd.h>

#include "core/base/fs.h"
#include "core/solver/job.h"
#include "core/store/tree/copy.h"
#include "core/store/tree/tree_ops.h"

namespace dagger::solver {
namespace {

namespace tree = store::tree;

// One op on one workspace. Pool thread.
struct Change {
  store::Store& store;
  const std::vector<store::Stack>& inputs;
  int root;
  plugin::CallContext& ctx;

  // Names are looked up in the input that the op gives for it, else in the tree that is changed.
  tree::Owner owner(const std::string& spec, std::size_t names_input) const {
    if (spec.empty()) return {};
    if (inputs.size() <= names_input) return tree::find_owner(root, spec);
    const auto view = store.view(inputs[names_input], ctx);
    return tree::find_owner(view->root_fd(), spec);
  }

  void operator()(const dag::Copy& op) const {
    tree::CopyOptions options;
    options.contents = op.contents;
    options.include = op.include;
    options.exclude = op.exclude;
    options.owner = owner(op.owner, 2);
    options.mode = op.mode;
    options.must_be_file = op.must_be_file;
    const auto source = store.view(inputs.at(1), ctx);
    tree::copy(source->root_fd(), op.source, root, op.target, options, ctx);
  }
  void operator()(const dag::Subpath& op) const {
    const auto source = store.view(inputs.at(0), ctx);
    if (const auto st = tree::stat(source->root_fd(), op.path, true); st && st->type != store::EntryType::directory)
      throw Error(Code::invalid_argument, "path " + op.path + " is a file, not a directory");
    tree::copy(source->root_fd(), op.path, root, "/", {}, ctx);
  }
  void operator()(const dag::Write& op) const { tree::write_file(root, op.path, op.data, op.mode, owner(op.owner, 1)); }
  void operator()(const dag::Mkdir& op) const { tree::make_dir(root, op.path, op.mode, owner(op.owner, 1)); }
  void operator()(const dag::Remove& op) const { tree::remove(root, op.path, op.wildcards); }
  void operator()(const dag::Symlink& op) const { tree::make_symlink(root, op.target, op.link); }
  void operator()(const dag::Timestamps& op) const { tree::set_timestamps(root, op.unix_seconds, ctx); }
  void operator()(const dag::Chown& op) const { tree::change_owner(root, op.path, owner(op.owner, 1), ctx); }
  template <class Other>
  void operator()(const Other&) const {
    throw Error(Code::unsupported, "this engine cannot run such an op");
  }
};

}  // namespace

Task<store::Record> Solver::run_tree(JobPtr job, std::vector<store::Stack> inputs) {
  const auto& op = job->vertex.op;
  if (std::holds_alternative<dag::Local>(op.fields))
    throw Error(
        Code::not_found,
        "the files of a host directory are no longer on this runner: ask for the directory again in a new session");
  const bool from_nothing = std::holds_alternative<dag::Subpath>(op.fields) || inputs.empty();
  Call call = job->call();
  co_return co_await on_pool(loop_, io_, [&] {
    const auto workspace = store_.workspace(from_nothing ? store::Stack() : inputs.front(), {}, call);
    std::visit(Change{store_, inputs, workspace->root_fd(), call}, op.fields);
    store::Record record;
    store::Output out{"", from_nothing ? -1 : 0, {}};
    if (const auto layer = workspace->seal(call)) out.layers.push_back(*layer);
    record.outputs.push_back(std::move(out));
    return record;
  });
}

}  // namespace dagger::solver
