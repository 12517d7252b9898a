// core/runner/connected_session.h — what one connected session asks of the runner, and what the solver asks of that
// session.
//
// One per link. Control thread only. Lives until the link is closed and the last handler has ended. Handlers throw
// Error: what they ask threw, no_space for a session that is over one of its limits, invalid_argument for a request
// that none can grant.
//
// Recipes have no trust scope, on purpose: an id is a digest of what it stands for and serves as the capability to it.
// Programs hand ids from one session to another, also of another user, and load*FromID must find them there. A recipe
// holds no secret's value and no result: its ops join the graph of the session that loads it, under that session's own
// scope, so what depends on a scope (secrets, sockets, cache volumes, nesting) is keyed anew.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/link/messages/messages.h"
#include "core/link/peer.h"
#include "core/solver/client.h"
#include "core/solver/solver.h"

namespace dagger::runner {

// What one session may keep with recipe.put, and so what one recipe can be made of. All that a recipe is made of counts
// for its session, thus whatever could be put can be loaded.
struct RecipeLimits {
  std::size_t recipes = 100'000;
  std::size_t ops = 250'000;           // different ones, of all recipes together
  std::size_t bytes = 256 << 20;       // their encodings and the recipes themselves
  std::size_t recipe_bytes = 4 << 20;  // of one, without its ops: id, kind, body, the digests it names
};

// What one session may put or load: ops that differ, and their encodings.
struct OpLimits {
  std::size_t ops = 1'000'000;
  std::size_t bytes = 512 << 20;
};

struct RunnerInfo {
  std::string version, engine_name, platform;
  RecipeLimits recipe_limits;
  OpLimits op_limits;
};

// One handler after the other, in the order in which they entered. Control thread.
class Sequence {
 public:
  class Turn {
   public:
    Turn(Loop& loop, std::optional<OneShot<Unit>>& last) : over_(loop), before_(std::exchange(last, over_)) {}
    ~Turn() { over_.set({}); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Task<void> comes() {
      if (before_) co_await *before_;
    }

   private:
    const OneShot<Unit> over_;
    const std::optional<OneShot<Unit>> before_;
  };
  // It ends with the object returned.
  Turn enter(Loop& loop) { return Turn(loop, last_); }

 private:
  std::optional<OneShot<Unit>> last_;
};

class ConnectedSession final : public solver::Client, public std::enable_shared_from_this<ConnectedSession> {
 public:
  // closed: called once when the link has gone.
  static std::shared_ptr<ConnectedSession> start(std::unique_ptr<link::Peer> peer, solver::Solver& solver,
                                                 const RunnerInfo& info, std::string name, Function<void()> closed);
  void close();

  // solver::Client
  const std::shared_ptr<dag::Graph>& graph() const override { return graph_; }
  const std::string& scope() const override { return scope_; }
  const std::string& name() const override { return name_; }
  // None: no exec can be a client so far, and what a client says about itself lends no slots.
  const std::string& inside_exec() const override { return inside_exec_; }
  Task<std::string> secret(std::string name, CancelToken cancel) override;
  Task<std::optional<plugin::Credentials>> credentials(std::string realm, CancelToken cancel) override;
  Task<UniqueFd> open_socket(std::string id, CancelToken cancel) override;
  void event(const link::Event& event) override;
  bool first_mention(const Digest& op) override { return mentioned_.insert(op).second; }

 private:
  // A message that may be large: its handler unpacks or packs it on a pool.
  using Packed = std::string;
  ConnectedSession(std::unique_ptr<link::Peer> peer, solver::Solver& solver, const RunnerInfo& info, std::string name);
  void serve();
  // From the start to the end of the link.
  static Task<void> live(std::shared_ptr<ConnectedSession> self, OneShot<Unit> gone, Function<void()> closed);
  template <class Request, class Reply>
  void route(const char* method, Task<Reply> (ConnectedSession::*handler)(Request, CancelToken));
  template <class Request, class Reply>
  static Task<std::string> typed(std::shared_ptr<ConnectedSession> self,
                                 Task<Reply> (ConnectedSession::*handler)(Request, CancelToken), std::string request,
                                 CancelToken cancel);
  void route_stream(const char* method,
                    Task<void> (ConnectedSession::*handler)(link::PathRequest, std::shared_ptr<link::Stream>,
                                                            CancelToken));
  static Task<void> streamed(std::shared_ptr<ConnectedSession> self,
                             Task<void> (ConnectedSession::*handler)(link::PathRequest, std::shared_ptr<link::Stream>,
                                                                     CancelToken),
                             std::string request, std::shared_ptr<link::Stream> stream, CancelToken cancel);

  Task<link::Info> info(link::Empty, CancelToken);
  Task<link::Empty> put_ops(Packed request, CancelToken);
  Task<link::PinReply> pin(link::PinRequest request, CancelToken cancel);
  Task<link::SolveReply> solve(link::Target target, CancelToken cancel);
  Task<Packed> exec_output(link::ExecOutputRequest request, CancelToken cancel);
  Task<link::Entries> entries(link::PathRequest request, CancelToken cancel);
  Task<link::Entries> glob(link::PathRequest request, CancelToken cancel);
  Task<link::Stat> stat(link::PathRequest request, CancelToken cancel);
  Task<link::Name> tree_digest(link::PathRequest request, CancelToken cancel);
  Task<link::Empty> sync_local(link::SyncRequest request, CancelToken cancel);
  Task<link::Empty> put_recipe(link::Recipe recipe, CancelToken cancel);
  Task<link::Recipe> get_recipe(link::RecipeId id, CancelToken cancel);
  Task<void> read_file(link::PathRequest request, std::shared_ptr<link::Stream> stream, CancelToken cancel);
  Task<void> export_tree(link::PathRequest request, std::shared_ptr<link::Stream> stream, CancelToken cancel);

  Task<Unit> receive_tree(const dag::Vertex& vertex, const link::SyncRequest& request, CancelToken cancel);
  Task<void> add_ops(std::vector<dag::DigestedOp> ops);
  // Throws no_space if these would be too many.
  void check_room(std::span<const dag::DigestedOp> ops) const;
  // The answer to exec.output; throws not_found where the log turns out to be damaged.
  Task<Packed> output_of(std::shared_ptr<const store::Record> record, link::ExecOutputRequest request);
  // Adds to kept_ops_ and to fresh what the tops are made of, themselves included. Throws no_space beyond the limit.
  Task<void> count_ops(const std::vector<Digest>& tops, std::vector<const dag::Vertex*>& fresh, CancelToken cancel);
  // Puts a recipe and its ops into the store. The bytes they take; throws no_space beyond the limit.
  Task<std::size_t> keep(const link::Recipe& recipe, const std::vector<const dag::Vertex*>& fresh);
  // Runs f(root fd) on a thread of the pool over a read-only view of a target.
  template <class F>
  Task<std::invoke_result_t<F&, int, plugin::CallContext&>> in_tree(Pool& pool, link::Target target, CancelToken cancel,
                                                                    F f);
  Pool& io() { return solver_.io(); }
  // Threads that may wait for this session's client, so that a slow one keeps up nobody else.
  Pool& transfers();
  // Shows the client a step that is made for it alone, from its start to its end.
  template <class T>
  Task<T> watched(Digest step, std::string shown, Task<T> work);
  void flush_soon();
  void flush_before_reply();
  void flush_events();

  Loop& loop_;
  solver::Solver& solver_;
  const RunnerInfo& info_;
  std::unique_ptr<link::Peer> peer_;
  std::string name_, scope_, inside_exec_;
  std::shared_ptr<dag::Graph> graph_;
  std::set<Digest> mentioned_;
  // Of recipes, one that is being put too. Not a hash table: growing a large one holds the control thread.
  std::set<Digest> kept_ops_;
  Sequence op_puts_, recipe_puts_;
  std::size_t kept_recipes_ = 0, kept_bytes_ = 0;
  std::deque<link::Event> pending_;
  std::size_t pending_output_ = 0;  // bytes of it
  bool flushing_ = false, closed_ = false;
  Loop::Handle later_;
  TaskGroup questions_;              // of calls made for this session alone; ends with the last handler
  std::unique_ptr<Pool> transfers_;  // made when first needed
};

template <class T>
Task<T> ConnectedSession::watched(Digest step, std::string shown, Task<T> work) {
  link::Event e;
  e.op = step;
  e.name = std::move(shown);
  event(e);
  e.kind = link::EventKind::finished;
  std::optional<T> result;
  std::exception_ptr failed;
  try {
    result.emplace(co_await work);
  } catch (const std::exception& error) {
    const auto* const known = dynamic_cast<const Error*>(&error);
    e.outcome = known != nullptr && known->code() == Code::cancelled ? link::Outcome::cancelled : link::Outcome::failed;
    e.text = error.what();
    failed = std::current_exception();
  }
  event(e);
  if (failed) std::rethrow_exception(failed);
  co_return std::move(*result);
}

}  // namespace dagger::runner
