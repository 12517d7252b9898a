// Looks into the trees of a session, and sends them out.
#include <fcntl.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/runner/connected_session.h"
#include "core/store/tree/tar_tree.h"
#include "core/store/tree/tree_ops.h"

namespace dagger::runner {

template <class F>
Task<std::invoke_result_t<F&, int, plugin::CallContext&>> ConnectedSession::in_tree(Pool& pool, link::Target target,
                                                                                    CancelToken cancel, F f) {
  const auto stack = co_await solver_.stack(*this, {target.op, target.output}, cancel);
  const auto lease = solver_.store().lease(stack);
  solver::Call call(loop_, nullptr, cancel);
  co_return co_await on_pool(loop_, pool, [&] {
    const auto view = solver_.store().view(stack, call);
    return f(view->root_fd(), call);
  });
}

Task<link::Entries> ConnectedSession::entries(link::PathRequest request, CancelToken cancel) {
  return in_tree(io(), request.target, std::move(cancel), [path = request.path](int root, plugin::CallContext&) {
    link::Entries reply;
    for (auto& e : store::tree::list(root, path))
      reply.entries.push_back({e.name, e.type == store::EntryType::directory});
    return reply;
  });
}

Task<link::Entries> ConnectedSession::glob(link::PathRequest request, CancelToken cancel) {
  return in_tree(io(), request.target, std::move(cancel), [r = request](int root, plugin::CallContext& ctx) {
    link::Entries reply;
    for (auto& e : store::tree::glob(root, r.path, r.pattern, ctx))
      reply.entries.push_back({e.name, e.type == store::EntryType::directory});
    return reply;
  });
}

Task<link::Stat> ConnectedSession::stat(link::PathRequest request, CancelToken cancel) {
  return in_tree(io(), request.target, std::move(cancel), [r = request](int root, plugin::CallContext&) {
    link::Stat reply;
    if (const auto s = store::tree::stat(root, r.path, r.follow)) {
      reply = {true, static_cast<std::uint32_t>(s->type), s->mode, s->size, s->mtime_ns};
    }
    return reply;
  });
}

Task<link::Name> ConnectedSession::tree_digest(link::PathRequest request, CancelToken cancel) {
  const auto stack = co_await solver_.stack(*this, {request.target.op, request.target.output}, cancel);
  const OneShot<Unit> known(loop_);
  const auto error = std::make_exception_ptr(Error(Code::cancelled, "cancelled by the client"));
  const auto on_cancel =
      cancel.on_cancel([&loop = loop_, known, error] { loop.post([known, error] { known.fail(error); }); });
  // It may come when this session has gone.
  solver_.store().when_digested(stack, [&loop = loop_, known] { loop.post([known] { known.set({}); }); });
  co_await known;
  const auto digest = solver_.store().stack_digest(stack, true);
  if (!digest) throw Error(Code::internal, "the digest of a tree could not be computed");
  co_return {digest->str()};
}

Task<void> ConnectedSession::read_file(link::PathRequest request, std::shared_ptr<link::Stream> stream,
                                       CancelToken cancel) {
  co_await in_tree(transfers(), request.target, std::move(cancel), [&](int root, plugin::CallContext&) {
    const auto file = store::tree::open_file(root, request.path);
    if (::lseek(file.get(), static_cast<off_t>(request.offset), SEEK_SET) < 0) throw_errno("seek in " + request.path);
    std::uint64_t left = request.limit != 0 ? request.limit : UINT64_MAX;
    std::string buffer(1 << 16, '\0');
    while (left > 0) {
      const ssize_t n = ::read(file.get(), buffer.data(), std::min<std::uint64_t>(buffer.size(), left));
      if (n < 0) throw_errno("read " + request.path);
      if (n == 0) break;
      stream->write({buffer.data(), static_cast<std::size_t>(n)});
      left -= static_cast<std::uint64_t>(n);
    }
    stream->finish();
    return 0;
  });
}

Task<void> ConnectedSession::export_tree(link::PathRequest request, std::shared_ptr<link::Stream> stream,
                                         CancelToken cancel) {
  co_await in_tree(transfers(), request.target, std::move(cancel), [&](int root, plugin::CallContext& ctx) {
    const auto tar = store::tree::tar_tree(root, request.path, ctx);
    std::string buffer(128 << 10, '\0');
    for (std::size_t held = 0;;) {  // a tar comes in small pieces: headers, small files
      const auto n = tar->read(buffer.data() + held, buffer.size() - held);
      held += n;
      if (n != 0 && held < buffer.size()) continue;
      stream->write({buffer.data(), held});
      held = 0;
      if (n == 0) break;
    }
    stream->finish();
    return 0;
  });
}

}  // namespace dagger::runner
