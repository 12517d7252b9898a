#include "core/runner/service.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <unordered_map>

#include "core/base/elsewhere.h"
#include "core/base/fs.h"
#include "core/store/local_trees.h"
#include "core/store/tree/tar_tree.h"
#include "core/store/tree/tree_ops.h"

namespace dagger::runner {
namespace {

constexpr std::size_t ops_at_once = 64;               // keys are hashed on the control thread: in small bites
constexpr std::size_t max_ops = 1'000'000;            // of one session
constexpr std::size_t max_pending_output = 1 << 20;   // beyond it, output is left out of the stream (the log has it)
constexpr std::size_t max_pending_progress = 10'000;  // events; beyond it, progress is left out as well
constexpr std::size_t events_at_once = 1000;          // in one notification, in one turn of the control thread
constexpr std::size_t event_text_at_once = 256 << 10;
constexpr std::size_t max_backlog = 4 << 20;  // events wait until the link has sent most of what it holds
constexpr std::chrono::milliseconds backlog_pause{20};
constexpr unsigned transfer_threads = 4;
constexpr std::size_t max_output = 48 << 20;  // of an exec, in one reply

link::PinReply to_reply(const plugin::PinResult& r) {
  return {r.pin.digest, r.pin.identity, static_cast<std::uint32_t>(r.shape), r.metadata_json, r.file_name};
}

}  // namespace

std::shared_ptr<Service> Service::start(std::unique_ptr<link::Peer> peer, solver::Solver& solver,
                                        const ServiceInfo& info, std::string name, Function<void()> closed) {
  const std::shared_ptr<Service> service(new Service(std::move(peer), solver, info, std::move(name)));
  service->serve();
  const OneShot<Unit> gone(solver.loop());
  service->peer_->on_closed([gone](const std::string&) { gone.set({}); });
  solver.spawn(live(service, gone, std::move(closed)));
  service->peer_->start();
  return service;
}

Task<void> Service::live(std::shared_ptr<Service> self, OneShot<Unit> gone, Function<void()> closed) {
  co_await gone;
  self->closed_ = true;
  self->solver_.leave(*self);
  co_await self->peer_->join();  // the last handler has ended
  closed();
}

Service::Service(std::unique_ptr<link::Peer> peer, solver::Solver& solver, const ServiceInfo& info, std::string name)
    : loop_(solver.loop()),
      solver_(solver),
      info_(info),
      peer_(std::move(peer)),
      name_(std::move(name)),
      scope_(peer_->other().scope),
      graph_(std::make_shared<dag::Graph>(scope_)) {
  for (const auto& [key, value] : peer_->other().labels)
    if (key == "inside-exec") inside_exec_ = value;
}

void Service::close() { peer_->close(); }

// ---- routing ----

template <class Request, class Reply>
Task<std::string> Service::typed(std::shared_ptr<Service> self, Task<Reply> (Service::*handler)(Request, CancelToken),
                                 std::string request, CancelToken cancel) {
  try {
    co_return cbor::pack(co_await (self.get()->*handler)(cbor::unpack<Request>(request), std::move(cancel)));
  } catch (const solver::ExecFailed& e) {
    throw link::DetailedError(e.error(), cbor::pack(e.failure()));
  }
}

template <class Request, class Reply>
void Service::route(const char* method, Task<Reply> (Service::*handler)(Request, CancelToken)) {
  peer_->serve(method, [weak = weak_from_this(), handler](std::string request, CancelToken cancel) {
    auto self = weak.lock();
    if (!self) throw Error(Code::unavailable, "the session is closing");
    return typed<Request, Reply>(std::move(self), handler, std::move(request), std::move(cancel));
  });
}

Task<void> Service::streamed(std::shared_ptr<Service> self,
                             Task<void> (Service::*handler)(link::PathRequest, std::shared_ptr<link::Stream>,
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

void Service::route_stream(const char* method,
                           Task<void> (Service::*handler)(link::PathRequest, std::shared_ptr<link::Stream>,
                                                          CancelToken)) {
  peer_->serve_stream(method, [weak = weak_from_this(), handler](
                                  std::string request, std::shared_ptr<link::Stream> stream, CancelToken cancel) {
    if (auto self = weak.lock())
      self->solver_.spawn(streamed(self, handler, std::move(request), std::move(stream), std::move(cancel)));
  });
}

Pool& Service::transfers() {
  if (!transfers_) transfers_ = std::make_unique<Pool>("transfer", transfer_threads);
  return *transfers_;
}

void Service::serve() {
  namespace m = link::method;
  route(m::info, &Service::info);
  route(m::put_ops, &Service::put_ops);
  route(m::pin, &Service::pin);
  route(m::solve, &Service::solve);
  route(m::exec_output, &Service::exec_output);
  route(m::entries, &Service::entries);
  route(m::glob, &Service::glob);
  route(m::stat, &Service::stat);
  route(m::tree_digest, &Service::tree_digest);
  route(m::sync_local, &Service::sync_local);
  route(m::put_recipe, &Service::put_recipe);
  route(m::get_recipe, &Service::get_recipe);
  route_stream(m::read_file, &Service::read_file);
  route_stream(m::export_tree, &Service::export_tree);
}

// ---- ops and results ----

Task<link::Info> Service::info(link::Empty, CancelToken) {
  co_return {info_.version, info_.engine_name, info_.platform};
}

Task<void> Service::add_ops(std::vector<dag::Op> ops) {
  if (graph_->size() + ops.size() > max_ops)
    throw Error(Code::no_space, "the session has more than " + std::to_string(max_ops) + " steps; start another one");
  for (std::size_t at = 0; at < ops.size(); at += ops_at_once) {
    if (at != 0) {
      const OneShot<Unit> next(loop_);
      loop_.post([next] { next.set({}); });
      co_await next;
    }
    const auto end = std::min(at + ops_at_once, ops.size());
    graph_->add({std::make_move_iterator(ops.begin() + static_cast<std::ptrdiff_t>(at)),
                 std::make_move_iterator(ops.begin() + static_cast<std::ptrdiff_t>(end))},
                [](const Digest&) { return std::nullopt; });
  }
}

// An op of one call may refer to ops of the calls before it, so they are added in the order in which they came.
Task<link::Empty> Service::put_ops(link::PutOps request, CancelToken) {
  struct Turn {
    OneShot<Unit> over;
    ~Turn() { over.set({}); }
  };
  const Turn turn{OneShot<Unit>(loop_)};
  const auto before = std::exchange(last_put_, turn.over);
  auto ops = co_await on_pool(loop_, solver_.io(), [&] {
    std::vector<dag::Op> decoded;
    for (const auto& encoded : request.ops) decoded.push_back(dag::decode(encoded));
    return decoded;
  });
  if (before) co_await *before;
  co_await add_ops(std::move(ops));
  co_return {};
}

Task<link::PinReply> Service::pin(link::PinRequest request, CancelToken cancel) {
  plugin::SourceRef ref{std::move(request.scheme), std::move(request.location), std::move(request.attributes),
                        std::move(request.platform)};
  const auto shown = (ref.scheme == "oci" ? "resolve image config for " : "resolve " + ref.scheme + ":") + ref.location;
  link::Event e;
  e.op = Digest::of(shown + ref.platform);
  e.name = shown;
  event(e);
  e.kind = link::EventKind::finished;
  std::exception_ptr error;
  link::PinReply reply;
  try {
    reply = to_reply(co_await solver_.pin(*this, std::move(ref), std::move(cancel)));
  } catch (const Error& failed) {
    error = std::current_exception();
    e.outcome = failed.code() == Code::cancelled ? link::Outcome::cancelled : link::Outcome::failed;
    e.text = failed.what();
  }
  event(e);
  if (error) std::rethrow_exception(error);
  co_return reply;
}

Task<link::SolveReply> Service::solve(link::Target target, CancelToken cancel) {
  // The tree too, not only the record: who syncs wants to build on it.
  co_await solver_.stack(*this, {target.op, target.output}, cancel);
  const auto record = co_await solver_.outcome(*this, target.op, cancel);
  co_return {record->exit_code};
}

Task<link::ExecOutputReply> Service::exec_output(link::ExecOutputRequest request, CancelToken cancel) {
  const auto record = co_await solver_.outcome(*this, request.op, std::move(cancel));
  const auto& log = request.stream == link::OutputStream::out ? record->stdout_log : record->stderr_log;
  link::ExecOutputReply reply{record->exit_code, {}};
  if (!log.zero())
    reply.text = co_await on_pool(loop_, solver_.io(),
                                  [&] { return read_all(solver_.store().open_blob(log).get(), max_output); });
  co_return reply;
}

// ---- trees ----

template <class F>
Task<std::invoke_result_t<F&, int, plugin::CallContext&>> Service::in_tree(Pool& pool, link::Target target,
                                                                           CancelToken cancel, F f) {
  const auto stack = co_await solver_.stack(*this, {target.op, target.output}, cancel);
  const auto lease = solver_.store().lease(stack);
  solver::Call call(loop_, nullptr, cancel);
  co_return co_await on_pool(loop_, pool, [&] {
    const auto view = solver_.store().view(stack, call);
    return f(view->root_fd(), call);
  });
}

Task<link::Entries> Service::entries(link::PathRequest request, CancelToken cancel) {
  return in_tree(io(), request.target, std::move(cancel), [path = request.path](int root, plugin::CallContext&) {
    link::Entries reply;
    for (auto& e : store::tree::list(root, path))
      reply.entries.push_back({e.name, e.type == store::EntryType::directory});
    return reply;
  });
}

Task<link::Entries> Service::glob(link::PathRequest request, CancelToken cancel) {
  return in_tree(io(), request.target, std::move(cancel), [r = request](int root, plugin::CallContext& ctx) {
    link::Entries reply;
    for (auto& e : store::tree::glob(root, r.path, r.pattern, ctx))
      reply.entries.push_back({e.name, e.type == store::EntryType::directory});
    return reply;
  });
}

Task<link::Stat> Service::stat(link::PathRequest request, CancelToken cancel) {
  return in_tree(io(), request.target, std::move(cancel), [r = request](int root, plugin::CallContext&) {
    link::Stat reply;
    if (const auto s = store::tree::stat(root, r.path, r.follow)) {
      reply = {true, static_cast<std::uint32_t>(s->type), s->mode, s->size, s->mtime_ns};
    }
    return reply;
  });
}

Task<link::Name> Service::tree_digest(link::PathRequest request, CancelToken cancel) {
  const auto stack = co_await solver_.stack(*this, {request.target.op, request.target.output}, std::move(cancel));
  const OneShot<Unit> known(loop_);
  solver_.store().when_digested(stack, [this, known] { loop_.post([known] { known.set({}); }); });
  co_await known;
  const auto digest = solver_.store().stack_digest(stack, true);
  if (!digest) throw Error(Code::internal, "the digest of a tree could not be computed");
  co_return {digest->str()};
}

Task<void> Service::read_file(link::PathRequest request, std::shared_ptr<link::Stream> stream, CancelToken cancel) {
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

Task<void> Service::export_tree(link::PathRequest request, std::shared_ptr<link::Stream> stream, CancelToken cancel) {
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

// ---- local directories ----

namespace {

// Fetches from the session what the runner lacks of a tree. Pool threads.
class LinkTreeSource final : public store::TreeSource {
 public:
  LinkTreeSource(Loop& loop, link::Peer& peer, Digest tree, CancelToken cancel)
      : loop_(loop), peer_(peer), tree_(tree), cancel_(std::move(cancel)) {}

  std::unique_ptr<plugin::ByteStream> nodes(const std::vector<Digest>& digests) override {
    return open(link::method::local_nodes, digests);
  }
  std::unique_ptr<plugin::ByteStream> contents(const std::vector<Digest>& digests) override {
    return open(link::method::local_contents, digests);
  }

 private:
  class Bytes final : public plugin::ByteStream {
   public:
    Bytes(std::shared_ptr<link::Stream> stream, const CancelToken& cancel)
        : stream_(std::move(stream)), on_cancel_(cancel.on_cancel([s = stream_] { s->cancel(); })) {}
    std::size_t read(void* buffer, std::size_t size) override {
      if (at_ == chunk_.size()) {
        chunk_ = stream_->read();
        at_ = 0;
      }
      const auto n = std::min(size, chunk_.size() - at_);
      std::memcpy(buffer, chunk_.data() + at_, n);
      at_ += n;
      return n;
    }

   private:
    std::shared_ptr<link::Stream> stream_;
    CancelToken::Subscription on_cancel_;
    std::string chunk_;
    std::size_t at_ = 0;
  };

  std::unique_ptr<plugin::ByteStream> open(const char* method, const std::vector<Digest>& digests) {
    const auto request = cbor::pack(link::LocalRequest{tree_, digests});
    auto stream =
        run_elsewhere([&](auto work) { loop_.post(std::move(work)); }, [&] { return peer_.open(method, request); });
    return std::make_unique<Bytes>(std::move(stream), cancel_);
  }

  Loop& loop_;
  link::Peer& peer_;
  Digest tree_;
  CancelToken cancel_;
};

}  // namespace

Task<link::Empty> Service::sync_local(link::SyncRequest request, CancelToken cancel) {
  dag::Op op{dag::Local{request.tree}, {}};
  co_await add_ops({op});
  const dag::Vertex& vertex = *graph_->find(dag::digest(op));
  if (solver_.store().find(vertex.key)) co_return {};
  LinkTreeSource source(loop_, *peer_, request.tree, cancel);
  solver::Call call(loop_, nullptr, cancel);
  const auto layer = co_await on_pool(loop_, transfers(), [&] {
    return store::make_local_tree(solver_.store(), request.tree, request.hint, source, call);
  });
  store::Record record;
  record.key = vertex.key;
  record.kind = dag::kind_name(vertex.op);
  record.parts = vertex.parts;
  record.outputs.push_back({"", -1, layer});
  solver_.store().put(std::move(record));
  co_return {};
}

// ---- recipes ----

Task<link::Empty> Service::put_recipe(link::Recipe recipe, CancelToken) {
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

Task<link::Recipe> Service::get_recipe(link::RecipeId id, CancelToken) {
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

// ---- what the solver asks of the session ----

Task<std::string> Service::secret(std::string name, CancelToken cancel) {
  const auto reply =
      co_await peer_->call(link::method::secret, cbor::pack(link::Name{std::move(name)}), std::move(cancel));
  co_return cbor::unpack<link::Bytes>(reply).bytes;
}

Task<std::optional<plugin::Credentials>> Service::credentials(std::string realm, CancelToken cancel) {
  const auto reply =
      co_await peer_->call(link::method::credentials, cbor::pack(link::Name{std::move(realm)}), std::move(cancel));
  auto c = cbor::unpack<link::CredentialsReply>(reply);
  if (!c.found) co_return std::nullopt;
  co_return plugin::Credentials{std::move(c.username), std::move(c.secret), c.is_token};
}

Task<UniqueFd> Service::open_socket(std::string id, CancelToken) {
  throw Error(Code::unsupported, "forwarding a client's socket ('" + id + "') is not supported by this engine");
  co_return UniqueFd();
}

void Service::event(const link::Event& event) {
  if (closed_ || (pending_output_ > max_pending_output && event.kind == link::EventKind::log) ||
      (pending_.size() > max_pending_progress && event.kind == link::EventKind::progress))
    return;
  pending_output_ += event.text.size();
  pending_.push_back(event);
  pending_.back().time_us =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  if (!std::exchange(flushing_, true)) flush_soon();
}

void Service::flush_soon() {
  loop_.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->flush_events();
  });
}

void Service::flush_events() {
  if (closed_) return;
  if (peer_->backlog() > max_backlog) {  // a client that reads slowly
    later_ = loop_.after(backlog_pause, [this] { flush_events(); });
    return;
  }
  link::Events now;
  for (std::size_t text = 0; !pending_.empty() && text < event_text_at_once && now.events.size() < events_at_once;
       pending_.pop_front()) {
    text += pending_.front().text.size();
    now.events.push_back(std::move(pending_.front()));
  }
  for (const auto& event : now.events) pending_output_ -= event.text.size();
  peer_->notify(link::method::events, cbor::pack(now));
  flushing_ = !pending_.empty();
  if (flushing_) flush_soon();
}

}  // namespace dagger::runner
