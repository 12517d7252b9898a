#include "core/session/runner.h"

namespace dagger::session {
namespace {

constexpr std::size_t parcel_bytes = 4 << 20;     // a message may have 64 MiB
constexpr std::size_t packed_at_once = 64 << 10;  // more would hold the control thread

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

std::vector<OneShot<Unit>> Runner::ends_of(const std::vector<std::uint64_t>& parcels) {
  std::vector<OneShot<Unit>> ends;
  for (const auto number : parcels) ends.push_back(in_flight_.at(number).emplace_back(loop_));
  return ends;
}

// Puts are not the request's own: others may wait for the same ops, so a request that is cancelled does not stop them.
Task<void> Runner::need(std::vector<Digest> ops, CancelToken cancel) {
  cancel.throw_if_cancelled();
  auto needed = table_.take_unsent(ops, parcel_bytes);
  auto awaited = std::move(needed.on_their_way);
  for (const auto& parcel : needed.parcels) {
    in_flight_[parcel.number];
    awaited.push_back(parcel.number);
  }
  const auto open = ends_of(awaited);
  std::vector<std::vector<OneShot<Unit>>> before;
  for (const auto& parcel : needed.parcels) before.push_back(ends_of(parcel.after));
  for (std::size_t i = 0; i < before.size(); ++i) puts_.spawn(send(std::move(needed.parcels[i]), std::move(before[i])));
  const auto on_cancel = cancel.on_cancel([open] {
    const auto error = std::make_exception_ptr(Error(Code::cancelled, "cancelled by the client"));
    for (const auto& end : open) end.fail(error);
  });
  for (const auto& end : open) co_await end;
}

Task<void> Runner::send(OpTable::Parcel parcel, std::vector<OneShot<Unit>> before) {
  std::exception_ptr error;
  link::PutOps request;
  try {
    for (const auto& end : before) co_await end;
    request.ops = table_.encodings(parcel.ops);
    std::string message;
    auto pack = [&] { message = cbor::pack(request); };
    std::size_t size = 0;
    for (const auto& op : request.ops) size += op.size();
    if (size <= packed_at_once)
      pack();
    else
      co_await on_pool(loop_, pool_, std::ref(pack));
    co_await peer_.call(link::method::put_ops, std::move(message), CancelToken());
    table_.confirm(parcel.ops);
  } catch (...) {
    error = std::current_exception();
    table_.give_back(parcel.ops, std::move(request.ops));
  }
  const auto waiting = in_flight_.extract(parcel.number);
  for (const auto& end : waiting.mapped()) {
    if (error)
      end.fail(error);
    else
      end.set({});
  }
}

}  // namespace dagger::session
