#include "core/session/runner.h"

#include <algorithm>

namespace dagger::session {
namespace {

link::PathRequest at(const dag::Ref& tree, std::string path) {
  link::PathRequest request;
  request.target = {tree.op, tree.output};
  request.path = std::move(path);
  return request;
}

}  // namespace

Task<link::Info> Runner::info(CancelToken cancel) {
  const auto reply = co_await peer_.call(link::method::info, cbor::pack(link::Empty{}), std::move(cancel));
  co_return cbor::unpack<link::Info>(reply);
}

Task<link::PinReply> Runner::pin(link::PinRequest request, CancelToken cancel) {
  const auto reply = co_await peer_.call(link::method::pin, cbor::pack(request), std::move(cancel));
  co_return cbor::unpack<link::PinReply>(reply);
}

Task<link::SolveReply> Runner::solve(dag::Ref ref, CancelToken cancel) {
  co_await need({ref.op}, cancel);
  const link::Target target{ref.op, ref.output};
  const auto reply = co_await peer_.call(link::method::solve, cbor::pack(target), std::move(cancel));
  co_return cbor::unpack<link::SolveReply>(reply);
}

Task<link::ExecOutputReply> Runner::exec_output(Digest exec, link::OutputStream stream, CancelToken cancel) {
  co_await need({exec}, cancel);
  const link::ExecOutputRequest request{exec, stream};
  const auto reply = co_await peer_.call(link::method::exec_output, cbor::pack(request), std::move(cancel));
  co_return cbor::unpack<link::ExecOutputReply>(reply);
}

Task<std::string> Runner::ask_path(const char* method, link::PathRequest request, CancelToken cancel) {
  co_await need({request.target.op}, cancel);
  co_return co_await peer_.call(method, cbor::pack(request), std::move(cancel));
}

Task<link::Stat> Runner::stat(dag::Ref tree, std::string path, CancelToken cancel) {
  const auto reply = co_await ask_path(link::method::stat, at(tree, std::move(path)), std::move(cancel));
  co_return cbor::unpack<link::Stat>(reply);
}

Task<std::vector<link::Entry>> Runner::entries(dag::Ref tree, std::string path, CancelToken cancel) {
  const auto reply = co_await ask_path(link::method::entries, at(tree, std::move(path)), std::move(cancel));
  co_return cbor::unpack<link::Entries>(reply).entries;
}

Task<std::vector<link::Entry>> Runner::glob(dag::Ref tree, std::string path, std::string pattern, CancelToken cancel) {
  auto request = at(tree, std::move(path));
  request.pattern = std::move(pattern);
  const auto reply = co_await ask_path(link::method::glob, std::move(request), std::move(cancel));
  co_return cbor::unpack<link::Entries>(reply).entries;
}

Task<std::string> Runner::tree_digest(dag::Ref tree, CancelToken cancel) {
  const auto reply = co_await ask_path(link::method::tree_digest, at(tree, "/"), std::move(cancel));
  co_return cbor::unpack<link::Name>(reply).name;
}

Task<std::string> Runner::read_file(dag::Ref tree, std::string path, std::size_t limit, CancelToken cancel) {
  std::string contents;
  const auto collect = [&contents, limit](link::Stream& in) {
    for (auto piece = in.read(); !piece.empty(); piece = in.read()) {
      if (contents.size() + piece.size() > limit)
        throw Error(Code::invalid_argument, "file size exceeds limit " + std::to_string(limit) +
                                                ": export the file, or read it in a container");
      contents += piece;
    }
  };
  co_await stream(link::method::read_file, at(tree, std::move(path)), collect, std::move(cancel));
  co_return contents;
}

Task<void> Runner::export_tree(dag::Ref tree, std::string path, Function<void(link::Stream&)> consume,
                               CancelToken cancel) {
  co_await stream(link::method::export_tree, at(tree, std::move(path)), std::move(consume), std::move(cancel));
}

Task<void> Runner::stream(const char* method, link::PathRequest request, Function<void(link::Stream&)> consume,
                          CancelToken cancel) {
  co_await need({request.target.op}, cancel);
  const auto bytes = peer_.open(method, cbor::pack(request));
  const auto subscription = cancel.on_cancel([bytes] { bytes->cancel(); });
  auto read = [&] { consume(*bytes); };
  co_await on_pool(loop_, pool_, std::ref(read));
}

Task<void> Runner::sync_local(link::SyncRequest request, CancelToken cancel) {
  co_await peer_.call(link::method::sync_local, cbor::pack(request), std::move(cancel));
}

Task<void> Runner::put_recipe(link::Recipe recipe, CancelToken cancel) {
  co_await need(recipe.ops, cancel);
  co_await peer_.call(link::method::put_recipe, cbor::pack(recipe), std::move(cancel));
}

Task<link::Recipe> Runner::get_recipe(std::string id, CancelToken cancel) {
  const link::RecipeId request{std::move(id)};
  const auto reply = co_await peer_.call(link::method::get_recipe, cbor::pack(request), std::move(cancel));
  co_return cbor::unpack<link::Recipe>(reply);
}

// Puts are not the request's own: others may wait for the same ops, so a request that is cancelled does not stop them.
Task<void> Runner::need(std::vector<Digest> ops, CancelToken cancel) {
  cancel.throw_if_cancelled();
  if (auto unsent = table_.take_unsent(ops); !unsent.empty()) {
    const auto batch = std::make_shared<Batch>();
    batch->ops = std::move(unsent);
    in_flight_.push_back(batch);
    puts_.spawn(send(batch));
  }
  std::vector<OneShot<Unit>> open;
  for (const auto& batch : in_flight_) open.push_back(batch->waiting.emplace_back(loop_));
  for (const auto& confirmed : open) co_await confirmed;
}

Task<void> Runner::send(std::shared_ptr<Batch> batch) {
  std::exception_ptr error;
  try {
    const link::PutOps request{table_.encodings(batch->ops)};
    co_await peer_.call(link::method::put_ops, cbor::pack(request), CancelToken());
    table_.confirm(batch->ops);
  } catch (...) {
    error = std::current_exception();
    table_.give_back(batch->ops);
  }
  std::erase(in_flight_, batch);
  for (const auto& waiter : batch->waiting) {
    if (error)
      waiter.fail(error);
    else
      waiter.set({});
  }
}

}  // namespace dagger::session
