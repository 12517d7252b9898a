#include "core/runner/connected_session.h"

#include <unistd.h>

#include "core/base/fs.h"
#include "core/solver/job.h"
#include "core/solver/turns.h"

namespace dagger::runner {
namespace {

constexpr std::size_t ops_at_once = 64;  // keys are put together on the control thread: in small bites
constexpr unsigned transfer_threads = 4;
constexpr std::size_t max_output_mib = 48;  // of an exec, in one reply

link::PinReply to_reply(const plugin::PinResult& r) {
  return {r.pin.digest, r.pin.identity, static_cast<std::uint32_t>(r.shape), r.metadata_json, r.file_name};
}

}  // namespace

std::shared_ptr<ConnectedSession> ConnectedSession::start(std::unique_ptr<link::Peer> peer, solver::Solver& solver,
                                                          const RunnerInfo& info, std::string name,
                                                          Function<void()> closed) {
  const std::shared_ptr<ConnectedSession> session(new ConnectedSession(std::move(peer), solver, info, std::move(name)));
  session->serve();
  const OneShot<Unit> gone(solver.loop());
  session->peer_->on_closed([gone](const std::string&) { gone.set({}); });
  solver.spawn(live(session, gone, std::move(closed)));
  session->peer_->start();
  return session;
}

Task<void> ConnectedSession::live(std::shared_ptr<ConnectedSession> self, OneShot<Unit> gone, Function<void()> closed) {
  co_await gone;
  self->closed_ = true;
  self->solver_.leave(*self);
  co_await self->peer_->join();  // the last handler has ended
  co_await self->questions_.join();
  closed();
}

ConnectedSession::ConnectedSession(std::unique_ptr<link::Peer> peer, solver::Solver& solver, const RunnerInfo& info,
                                   std::string name)
    : loop_(solver.loop()),
      solver_(solver),
      info_(info),
      peer_(std::move(peer)),
      name_(std::move(name)),
      scope_(peer_->other().scope),
      graph_(std::make_shared<dag::Graph>(scope_)),
      questions_(loop_) {}

void ConnectedSession::close() { peer_->close(); }

// ---- routing ----

template <class Message>
Message unpacked(std::string packed) {
  if constexpr (std::is_same_v<Message, std::string>)
    return packed;
  else
    return cbor::unpack<Message>(packed);
}

template <class Message>
std::string packed(Message message) {
  if constexpr (std::is_same_v<Message, std::string>)
    return message;
  else
    return cbor::pack(message);
}

template <class Request, class Reply>
Task<std::string> ConnectedSession::typed(std::shared_ptr<ConnectedSession> self,
                                          Task<Reply> (ConnectedSession::*handler)(Request, CancelToken),
                                          std::string request, CancelToken cancel) {
  std::string reply;
  std::exception_ptr failed;
  try {
    reply = packed(co_await (self.get()->*handler)(unpacked<Request>(std::move(request)), std::move(cancel)));
  } catch (const solver::ExecFailed& e) {
    failed = std::make_exception_ptr(link::DetailedError(e.error(), cbor::pack(e.failure())));
  } catch (...) {
    failed = std::current_exception();
  }
  self->flush_before_reply();
  if (failed) std::rethrow_exception(failed);
  co_return reply;
}

template <class Request, class Reply>
void ConnectedSession::route(const char* method, Task<Reply> (ConnectedSession::*handler)(Request, CancelToken)) {
  peer_->serve(method, [weak = weak_from_this(), handler](std::string request, CancelToken cancel) {
    auto self = weak.lock();
    if (!self) throw Error(Code::unavailable, "the session is closing");
    return typed<Request, Reply>(std::move(self), handler, std::move(request), std::move(cancel));
  });
}

Task<void> ConnectedSession::streamed(std::shared_ptr<ConnectedSession> self,
                                      Task<void> (ConnectedSession::*handler)(link::PathRequest,
                                                                              std::shared_ptr<link::Stream>,
                                                                              CancelToken),
                                      std::string request, std::shared_ptr<link::Stream> stream, CancelToken cancel) {
  try {
    co_await (self.get()->*handler)(cbor::unpack<link::PathRequest>(request), stream, std::move(cancel));
  } catch (const solver::ExecFailed& e) {
    stream->reset(e.error());
  } catch (const Error& e) {
    stream->reset(e);
  } catch (const std::exception& e) {
    stream->reset(Error(Code::internal, e.what()));
  }
}

void ConnectedSession::route_stream(const char* method,
                                    Task<void> (ConnectedSession::*handler)(link::PathRequest,
                                                                            std::shared_ptr<link::Stream>,
                                                                            CancelToken)) {
  peer_->serve_stream(method, [weak = weak_from_this(), handler](
                                  std::string request, std::shared_ptr<link::Stream> stream, CancelToken cancel) {
    if (auto self = weak.lock())
      self->solver_.spawn(streamed(self, handler, std::move(request), std::move(stream), std::move(cancel)));
  });
}

Pool& ConnectedSession::transfers() {
  if (!transfers_) transfers_ = std::make_unique<Pool>("transfer", transfer_threads);
  return *transfers_;
}

void ConnectedSession::serve() {
  namespace m = link::method;
  route(m::info, &ConnectedSession::info);
  route(m::put_ops, &ConnectedSession::put_ops);
  route(m::pin, &ConnectedSession::pin);
  route(m::solve, &ConnectedSession::solve);
  route(m::exec_output, &ConnectedSession::exec_output);
  route(m::entries, &ConnectedSession::entries);
  route(m::glob, &ConnectedSession::glob);
  route(m::stat, &ConnectedSession::stat);
  route(m::tree_digest, &ConnectedSession::tree_digest);
  route(m::sync_local, &ConnectedSession::sync_local);
  route(m::put_recipe, &ConnectedSession::put_recipe);
  route(m::get_recipe, &ConnectedSession::get_recipe);
  route_stream(m::read_file, &ConnectedSession::read_file);
  route_stream(m::export_tree, &ConnectedSession::export_tree);
}

// ---- ops and results ----

Task<link::Info> ConnectedSession::info(link::Empty, CancelToken) {
  co_return {info_.version, info_.engine_name, info_.platform};
}

void ConnectedSession::check_room(std::span<const dag::DigestedOp> ops) const {
  const auto& limits = info_.op_limits;
  std::set<Digest> fresh;
  std::size_t bytes = graph_->bytes();
  for (const auto& op : ops)
    if (graph_->find(op.digest) == nullptr && fresh.insert(op.digest).second) bytes += op.bytes;
  if (graph_->size() + fresh.size() > limits.ops)
    throw Error(Code::no_space,
                "the session has more than " + std::to_string(limits.ops) + " steps; start another one");
  if (bytes > limits.bytes)
    throw Error(Code::no_space, "the steps of the session take more than " + std::to_string(limits.bytes) +
                                    " bytes; put large values in files, or start another session");
}

Task<void> ConnectedSession::add_ops(std::vector<dag::DigestedOp> ops) {
  for (std::size_t at = 0; at < ops.size(); at += ops_at_once) {
    if (at != 0) co_await solver::next_turn(loop_);
    const auto some = std::span(ops).subspan(at, std::min(ops_at_once, ops.size() - at));
    check_room(some);
    graph_->add({std::make_move_iterator(some.begin()), std::make_move_iterator(some.end())});
  }
}

// An op of one call may refer to ops of the calls before it, so they are added in the order in which they came; and a
// call that fails ends in its turn too, so that the one after it does not come before those that are still at work.
Task<link::Empty> ConnectedSession::put_ops(Packed request, CancelToken) {
  auto turn = op_puts_.enter(loop_);
  std::vector<dag::DigestedOp> ops;
  std::exception_ptr failed;
  try {
    co_await on_pool(loop_, solver_.io(), [&] {
      for (const auto& encoded : cbor::unpack<link::PutOps>(request).ops)
        ops.push_back(dag::digested(dag::decode(encoded)));
    });
  } catch (...) {
    failed = std::current_exception();
  }
  co_await turn.comes();
  if (failed) std::rethrow_exception(failed);
  co_await add_ops(std::move(ops));
  co_return {};
}

Task<link::PinReply> ConnectedSession::pin(link::PinRequest request, CancelToken cancel) {
  plugin::SourceRef ref{std::move(request.scheme), std::move(request.location), std::move(request.attributes),
                        std::move(request.platform)};
  const auto shown = (ref.scheme == "oci" ? "resolve image config for " : "resolve " + ref.scheme + ":") + ref.location;
  const auto step = Digest::of(shown + ref.platform);
  co_return to_reply(co_await watched(step, shown, solver_.pin(*this, step, std::move(ref), std::move(cancel))));
}

Task<link::SolveReply> ConnectedSession::solve(link::Target target, CancelToken cancel) {
  // The tree too, not only the record: who syncs wants to build on it.
  co_await solver_.stack(*this, {target.op, target.output}, cancel);
  const auto record = co_await solver_.outcome(*this, target.op, cancel);
  co_return {record->exit_code};
}

Task<ConnectedSession::Packed> ConnectedSession::exec_output(link::ExecOutputRequest request, CancelToken cancel) {
  // A record without its log is of no use any more. What is found in its place may be one of the same content, which
  // names the same log.
  for (int damaged = 0;; ++damaged) {
    const auto record = co_await solver_.outcome(*this, request.op, cancel);
    try {
      co_return co_await output_of(record, request);
    } catch (const Error& e) {
      if (e.code() != Code::not_found || damaged == 2) throw;
    }
    solver_.store().drop(record->key);
  }
}

Task<ConnectedSession::Packed> ConnectedSession::output_of(std::shared_ptr<const store::Record> record,
                                                           link::ExecOutputRequest request) {
  const auto& log = request.stream == link::OutputStream::out ? record->stdout_log : record->stderr_log;
  if (log.zero()) co_return cbor::pack(link::ExecOutputReply{record->exit_code, {}});
  const auto& op = graph_->find(request.op)->op;
  co_return co_await on_pool(loop_, solver_.io(), [&] {
    const auto file = solver_.store().open_blob(log);
    if (const auto size = ::lseek(file.get(), 0, SEEK_END); size > static_cast<off_t>(max_output_mib << 20))
      throw Error(Code::invalid_argument, "the output of \"" + solver::describe(op) + "\" is larger than " +
                                              std::to_string(max_output_mib) +
                                              " MiB, which is all that an answer can hold; redirect it to a file");
    ::lseek(file.get(), 0, SEEK_SET);
    return cbor::pack(link::ExecOutputReply{record->exit_code, read_all(file.get(), max_output_mib << 20)});
  });
}

// ---- what the solver asks of the session ----

Task<std::string> ConnectedSession::secret(std::string name, CancelToken cancel) {
  const auto reply =
      co_await peer_->call(link::method::secret, cbor::pack(link::Name{std::move(name)}), std::move(cancel));
  co_return cbor::unpack<link::Bytes>(reply).bytes;
}

Task<std::optional<plugin::Credentials>> ConnectedSession::credentials(std::string realm, CancelToken cancel) {
  const auto reply =
      co_await peer_->call(link::method::credentials, cbor::pack(link::Name{std::move(realm)}), std::move(cancel));
  auto c = cbor::unpack<link::CredentialsReply>(reply);
  if (!c.found) co_return std::nullopt;
  co_return plugin::Credentials{std::move(c.username), std::move(c.secret), c.is_token};
}

Task<UniqueFd> ConnectedSession::open_socket(std::string id, CancelToken) {
  throw Error(Code::unsupported, "forwarding a client's socket ('" + id + "') is not supported by this engine");
  co_return UniqueFd();
}

}  // namespace dagger::runner
