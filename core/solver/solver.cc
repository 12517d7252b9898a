#include "core/solver/solver.h"

#include <algorithm>
#include <thread>

#include "core/base/log.h"
#include "core/solver/job.h"
#include "core/solver/reason.h"
#include "core/solver/tiers.h"
#include "core/solver/turns.h"
#include "core/solver/volume_locks.h"

namespace dagger::solver {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& w : words) (out += out.empty() ? "" : " ") += w;
  return out;
}

store::Stack joined(const std::vector<store::Stack>& stacks) {
  store::Stack all;
  for (const auto& s : stacks) all.insert(all.end(), s.begin(), s.end());
  return all;
}

// Nothing as long as the digest of an input is not known.
std::optional<Digest> content_key(const store::Store& store, const dag::Vertex& vertex,
                                  const std::vector<store::Stack>& inputs) {
  if (vertex.inputs.empty()) return std::nullopt;
  std::vector<Digest> digests;
  for (const auto& s : inputs) {
    const auto d = store.stack_digest(s, vertex.times_matter);
    if (!d) return std::nullopt;
    digests.push_back(*d);
  }
  // The scope is in the definition's parts already; take it from there so that both keys agree.
  auto parts = vertex.parts;
  const std::size_t first = parts.size() - inputs.size();
  for (std::size_t i = 0; i < inputs.size(); ++i) parts[first + i].value = digests[i];
  return dag::key_of(vertex.op, parts, dag::InputsAre::contents);
}

}  // namespace

ExecFailed::ExecFailed(link::ExecFailure failure)
    : failure_(std::move(failure)),
      error_(Code::exec_failed, "process \"" + joined(failure_.args) + "\" did not complete successfully: exit code: " +
                                    std::to_string(failure_.exit_code)) {}

Solver::Solver(Loop& loop, store::Store& store, Backends backends, Limits limits, Log& log)
    : loop_(loop),
      store_(store),
      backends_(std::move(backends)),
      log_(log),
      termination_grace_(limits.termination_grace),
      slots_(loop, limits.parallel_execs),
      network_turns_(loop, 2 * limits.parallel_io, limits.parallel_io),
      io_("io", limits.parallel_io),
      exec_io_("exec", 2 + std::max(1U, std::thread::hardware_concurrency())),
      network_("network", 2 * limits.parallel_io),
      volumes_(std::make_unique<VolumeLocks>(loop)),
      tiers_(std::make_unique<CacheTiers>(store, backends_.caches, log)),
      work_(loop) {}

Solver::~Solver() = default;

Task<void> Solver::close() {
  closing_.request("the engine stops");
  std::vector<JobPtr> all;
  for (const auto& [key, job] : jobs_) all.push_back(job);
  for (const auto& job : all) job->cancel.request("the engine stops");
  co_await work_.join();
}

// ---- wanting ----

Task<Solver::RecordPtr> Solver::outcome(Client& client, Digest op, CancelToken cancel) {
  const dag::Vertex* vertex = client.graph()->find(op);
  if (vertex == nullptr) throw Error(Code::not_found, "unknown op " + op.str());
  return want(client, *vertex, std::move(cancel));
}

Task<store::Stack> Solver::stack(Client& client, dag::Ref ref, CancelToken cancel) {
  const dag::Vertex* vertex = client.graph()->find(ref.op);
  if (vertex == nullptr) throw Error(Code::not_found, "unknown op " + ref.op.str());
  if (const auto names = dag::outputs(vertex->op); std::ranges::find(names, ref.output) == names.end())
    throw Error(Code::not_found, describe(vertex->op) + " has no output '" + ref.output + "'");
  const StackWalk::Known nothing;
  for (;;) {
    Turns turns(loop_);
    StackWalk walk(store_, nothing, *vertex, ref.output);
    while (walk.step())
      if (turns.over()) co_await turns.next();
    if (walk.gaps.empty()) {
      co_await announce_hits(client, *vertex);
      co_return std::move(walk.stack);
    }
    std::vector<const dag::Vertex*> missing;
    for (const auto& gap : walk.gaps) missing.push_back(gap.vertex);
    co_await want_all(client, std::move(missing), cancel);
  }
}

Task<void> Solver::want_all(Client& client, std::vector<const dag::Vertex*> vertices, CancelToken cancel) {
  if (vertices.size() == 1) {
    co_await want(client, *vertices.front(), cancel);
    co_return;
  }
  // At once, since they may be independent of each other; the first that fails calls the others off.
  CancelSource stop;
  const auto linked = cancel.on_cancel([stop]() mutable { stop.request("cancelled by the client"); });
  TaskGroup group(loop_);
  for (const auto* v : vertices) group.spawn(want_or_stop(client, *v, stop));
  co_await group.join();
}

Task<void> Solver::want_or_stop(Client& client, const dag::Vertex& vertex, CancelSource stop) {
  try {
    co_await want(client, vertex, stop.token());
  } catch (...) {
    stop.request("another part failed");
    throw;
  }
}

Task<Solver::RecordPtr> Solver::want(Client& client, const dag::Vertex& vertex, CancelToken cancel) {
  cancel.throw_if_cancelled();
  if (!recorded(vertex.op)) co_return std::make_shared<store::Record>();
  if (auto record = store_.find(vertex.key); record && complete(*record, vertex.op)) {
    co_await announce_hits(client, vertex);
    co_return record;
  }
  const auto graph = client.graph();
  std::vector<JobPtr> created;
  const JobPtr job = job_for(graph, vertex, created);
  const OneShot<RecordPtr> result(loop_);
  const auto waiter = job->waiters.insert(job->waiters.end(), Job::Waiter{&client, result});
  if (job->hear({&client})) tell_dependencies(*job);
  plan_all(std::move(created));  // a job may start here, and end: who wants it is known by now
  const auto error = std::make_exception_ptr(Error(Code::cancelled, "cancelled by the client"));
  const auto on_cancel =
      cancel.on_cancel([result, error, this] { loop_.post([result, error] { result.fail(error); }); });
  const std::string inside = client.inside_exec();
  if (!inside.empty()) slots_.lend(inside);
  RecordPtr record;
  std::exception_ptr failed;
  try {
    record = co_await result;
  } catch (...) {
    failed = std::current_exception();
  }
  if (!inside.empty()) slots_.take_back(inside);
  job->waiters.erase(waiter);
  release(job);
  if (failed) std::rethrow_exception(failed);
  co_return record;
}

Task<void> Solver::announce_hits(Client& client, const dag::Vertex& vertex) {
  Turns turns(loop_);
  std::vector<const dag::Vertex*> open{&vertex};
  while (!open.empty()) {
    const auto* v = open.back();
    open.pop_back();
    if (!client.first_mention(v->digest)) continue;
    const bool shown =
        std::holds_alternative<dag::Exec>(v->op.fields) || std::holds_alternative<dag::Source>(v->op.fields);
    if (shown && store_.find(v->key)) {
      link::Event e;
      e.kind = link::EventKind::finished;
      e.op = v->digest;
      e.name = describe(v->op);
      e.outcome = link::Outcome::cached;
      e.reason = "definition";
      client.event(e);
    }
    for (const auto* in : v->inputs) open.push_back(in);
    if (turns.over()) co_await turns.next();
  }
}

// ---- making ----

Task<void> Solver::run(JobPtr job) {
  RecordPtr record;
  std::exception_ptr error;
  const auto inputs = std::move(job->inputs);
  const auto lease = store_.lease(joined(inputs));
  // In a turn of its own: a long row of hits neither holds the thread nor needs a stack as deep as itself.
  co_await next_turn(loop_);
  try {
    job->cancel.token().throw_if_cancelled();
    record = co_await reuse(job, inputs);
    if (!record) {
      Reason why(store_, job->vertex);
      if (why.lies_in_inputs()) {
        auto call = job->call();
        co_await on_pool(loop_, io_, [&] { why.look_into_inputs(call); });
      }
      job->started(why.text());
      const auto begun = Loop::Clock::now();
      store::Record made = co_await make(job, inputs);
      made.cost_usec = static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(Loop::Clock::now() - begun).count());
      record = publish(*job, std::move(made), inputs);
      job->ended(link::Outcome::done, {});
      if (!tiers_->empty()) work_.spawn(offer(record, job->vertex.key));
    }
    for (const auto& out : record->outputs) {
      const auto base = static_cast<std::size_t>(out.base_input);
      auto stack = out.base_input >= 0 && base < inputs.size() ? inputs[base] : store::Stack();
      stack.insert(stack.end(), out.layers.begin(), out.layers.end());
      job->made[{job->vertex.key, out.name}] = std::make_shared<const store::Stack>(std::move(stack));
    }
  } catch (const Error& e) {
    error = std::current_exception();
    job->ended(e.code() == Code::cancelled ? link::Outcome::cancelled : link::Outcome::failed, e.what());
  } catch (const std::exception& e) {
    error = std::current_exception();
    job->ended(link::Outcome::failed, e.what());
  }
  finish(job, std::move(record), error);
}

Task<Solver::RecordPtr> Solver::reuse(JobPtr job, const std::vector<store::Stack>& inputs) {
  const auto& vertex = job->vertex;
  const auto key = content_key(store_, vertex, inputs);
  if (key) {
    if (const auto same = store_.find(*key); same && complete(*same, vertex.op)) {
      store::Record copy = *same;
      auto record = publish(*job, std::move(copy), inputs);
      job->ended(link::Outcome::cached, {}, "content");
      co_return record;
    }
  }
  if (tiers_->empty()) co_return nullptr;
  std::vector<Digest> keys{vertex.key};
  if (key) keys.push_back(*key);
  auto call = job->call();
  auto found =
      co_await on_network(job->client_name(), job->cancel.token(), [&] { return tiers_->find(vertex.op, keys, call); });
  if (!found) co_return nullptr;
  auto record = publish(*job, std::move(*found), inputs);
  job->ended(link::Outcome::cached, {}, "cache tier");
  co_return record;
}

Task<void> Solver::offer(RecordPtr record, Digest key) {
  Call call(loop_, nullptr, closing_.token());
  try {
    co_await on_network("", closing_.token(), [&] { tiers_->offer(*record, key, call); });
  } catch (const Error&) {  // the engine stops before its turn comes
  }
}

Solver::RecordPtr Solver::publish(Job& job, store::Record record, const std::vector<store::Stack>& inputs) {
  const auto& vertex = job.vertex;
  if (!complete(record, vertex.op)) throw Error(Code::internal, "a result of '" + job.name + "' lacks an output of it");
  record.key = vertex.key;
  record.kind = dag::kind_name(vertex.op);
  record.parts = vertex.parts;
  record.created_unix =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const auto slots = dag::slots(vertex.op, vertex.parts);
  if (!slots.empty()) record.slot = slots.front();
  store_.put(std::move(record));
  for (std::size_t i = 1; i < slots.size(); ++i) store_.add_key(slots[i], vertex.key);
  add_content_key(vertex, inputs);
  Reason::remember_inputs(store_, vertex);
  auto published = store_.find(vertex.key);
  if (!published) throw Error(Code::internal, "a result vanished right after it was stored");
  return published;
}

void Solver::add_content_key(const dag::Vertex& vertex, const std::vector<store::Stack>& inputs) {
  if (vertex.inputs.empty()) return;
  if (const auto key = content_key(store_, vertex, inputs)) {
    store_.add_key(*key, vertex.key);
    return;
  }
  // Solver and vertex may be gone by then: keep what the key needs.
  auto later = std::make_shared<dag::Vertex>();
  later->op = vertex.op;
  later->parts = vertex.parts;
  later->key = vertex.key;
  later->times_matter = vertex.times_matter;
  later->inputs.resize(inputs.size());
  store_.when_digested(joined(inputs), [&store = store_, later, inputs] {
    if (const auto key = content_key(store, *later, inputs)) store.add_key(*key, later->key);
  });
}

Task<store::Record> Solver::make(JobPtr job, std::vector<store::Stack> inputs) {
  const auto& fields = job->vertex.op.fields;
  if (std::holds_alternative<dag::Exec>(fields)) return run_exec(std::move(job), std::move(inputs));
  if (std::holds_alternative<dag::Source>(fields)) return run_source(std::move(job));
  return run_tree(std::move(job), std::move(inputs));
}

}  // namespace dagger::solver
