#include "core/solver/solver.h"

#include <algorithm>
#include <thread>
#include <unordered_set>

#include "core/base/log.h"
#include "core/solver/job.h"
#include "core/solver/tiers.h"
#include "core/solver/volume_locks.h"

namespace dagger::solver {
namespace {

unsigned cores() { return std::max(1U, std::thread::hardware_concurrency()); }

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& w : words) (out += out.empty() ? "" : " ") += w;
  return out;
}

bool recorded(const dag::Op& op) {
  return !std::holds_alternative<dag::Scratch>(op.fields) && !std::holds_alternative<dag::Merge>(op.fields);
}

const store::Output* output_of(const store::Record& record, const std::string& name) {
  const auto it = std::ranges::find(record.outputs, name, &store::Output::name);
  return it == record.outputs.end() ? nullptr : &*it;
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

Task<void> next_turn(Loop& loop) {
  const OneShot<Unit> turn(loop);
  loop.post([turn] { turn.set({}); });
  co_await turn;
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
      slots_(loop, limits.parallel_execs != 0 ? limits.parallel_execs : cores()),
      io_("io", limits.parallel_io != 0 ? limits.parallel_io : 2 * cores()),
      exec_io_("exec", 2 + cores()),
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

// ---- from an output to its layers ----

Solver::Walk Solver::walk(const dag::Vertex& vertex, const std::string& output, const KnownStacks& known) const {
  // A stack is the base's stack plus the op's own layers: collected from the top down, bases pushed last are visited
  // first.
  struct Visit {
    const dag::Vertex* vertex;
    const std::string* output;  // null: the layers alone
    const store::Stack* layers = nullptr;
    std::shared_ptr<const void> keep;  // owns layers
  };
  Walk result;
  std::unordered_set<const dag::Vertex*> reported;
  std::vector<Visit> open{{&vertex, &output}};
  while (!open.empty()) {
    Visit v = std::move(open.back());
    open.pop_back();
    if (v.output == nullptr) {
      result.stack.insert(result.stack.end(), v.layers->begin(), v.layers->end());
      continue;
    }
    const auto visit_input = [&](std::size_t i) {
      open.push_back({v.vertex->inputs[i], &v.vertex->op.inputs[i].output});
    };
    if (const auto at = known.find({v.vertex->key, *v.output}); at != known.end()) {
      open.push_back({v.vertex, nullptr, at->second.get(), at->second});
      continue;
    }
    if (std::holds_alternative<dag::Scratch>(v.vertex->op.fields)) continue;
    if (std::holds_alternative<dag::Merge>(v.vertex->op.fields)) {
      for (std::size_t i = v.vertex->inputs.size(); i-- > 0;) visit_input(i);
      continue;
    }
    const RecordPtr record = store_.find(v.vertex->key);
    const store::Output* out = record ? output_of(*record, *v.output) : nullptr;
    if (out == nullptr) {
      if (reported.insert(v.vertex).second) result.missing.push_back(v.vertex);
      continue;
    }
    open.push_back({v.vertex, nullptr, &out->layers, record});
    if (out->base_input >= 0 && static_cast<std::size_t>(out->base_input) < v.vertex->inputs.size())
      visit_input(static_cast<std::size_t>(out->base_input));
  }
  return result;
}

std::vector<store::Stack> Solver::input_stacks(const Job& job) const {
  const auto& vertex = job.vertex;
  std::vector<store::Stack> stacks;
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) {
    auto w = walk(*vertex.inputs[i], vertex.op.inputs[i].output, job.known);
    if (!w.missing.empty()) throw Error(Code::internal, "an input of " + describe(vertex.op) + " vanished");
    stacks.push_back(std::move(w.stack));
  }
  return stacks;
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
  for (;;) {
    auto w = walk(*vertex, ref.output);
    if (w.missing.empty()) {
      announce_hits(client, *vertex);
      co_return std::move(w.stack);
    }
    co_await want_all(client, std::move(w.missing), cancel);
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
  if (auto record = store_.find(vertex.key)) {
    announce_hits(client, vertex);
    co_return record;
  }
  const auto graph = client.graph();
  std::vector<JobPtr> created;
  const JobPtr job = job_for(graph, vertex, created);
  const OneShot<RecordPtr> result(loop_);
  const auto waiter = job->waiters.insert(job->waiters.end(), Job::Waiter{&client, result});
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
  ++interest_generation_;
  release(job);
  if (failed) std::rethrow_exception(failed);
  co_return record;
}

void Solver::announce_hits(Client& client, const dag::Vertex& vertex) {
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
  }
}

// ---- jobs ----

Solver::JobPtr Solver::job_for(const std::shared_ptr<dag::Graph>& graph, const dag::Vertex& vertex,
                               std::vector<JobPtr>& created) {
  const auto it = jobs_.find(vertex.key);
  if (it != jobs_.end()) return it->second;
  auto job = std::make_shared<Job>(*this, graph, vertex);
  jobs_.emplace(vertex.key, job);
  created.push_back(job);
  return job;
}

void Solver::plan_all(std::vector<JobPtr> created) {
  unplanned_.insert(unplanned_.end(), std::make_move_iterator(created.begin()), std::make_move_iterator(created.end()));
  if (!planning_) work_.spawn(plan_in_turns());
}

Task<void> Solver::plan_in_turns() {
  constexpr int jobs_a_turn = 200;
  planning_ = true;
  while (!unplanned_.empty()) {
    for (int i = 0; i < jobs_a_turn && !unplanned_.empty(); ++i) {
      const JobPtr job = std::move(unplanned_.back());
      unplanned_.pop_back();
      if (job->state == Job::State::planned) plan(job, unplanned_);
    }
    if (!unplanned_.empty()) co_await next_turn(loop_);
  }
  planning_ = false;
}

void Solver::plan(const JobPtr& job, std::vector<JobPtr>& created) {
  std::unordered_set<Job*> known;
  for (std::size_t i = 0; i < job->vertex.inputs.size(); ++i) {
    for (const auto* m : walk(*job->vertex.inputs[i], job->vertex.op.inputs[i].output, job->known).missing) {
      const JobPtr dependency = job_for(job->graph, *m, created);
      if (!known.insert(dependency.get()).second) continue;
      dependency->dependents.push_back(job.get());
      job->dependencies.push_back(dependency);
      ++job->missing;
      ++interest_generation_;
    }
  }
  if (job->missing != 0) return;
  job->state = Job::State::running;
  work_.spawn(run(job));
}

void Solver::restart(const JobPtr& job) {
  job->state = Job::State::planned;
  job->cancel = CancelSource();
  plan_all({job});
}

void Solver::finish(JobPtr first, RecordPtr record, std::exception_ptr error) {
  struct End {
    JobPtr job;
    RecordPtr record;
    std::exception_ptr error;
  };
  std::vector<End> ends{{std::move(first), std::move(record), std::move(error)}};
  while (!ends.empty()) {
    const End end = std::move(ends.back());
    ends.pop_back();
    Job& job = *end.job;
    if (job.state == Job::State::ended) continue;
    // Cancelled because nobody wanted it, and now somebody does: from the start.
    if (end.error && job.cancel.requested() && !closing_.requested() && job.wanted()) {
      job.known.clear();  // nothing has kept them meanwhile
      restart(end.job);
      continue;
    }
    job.state = Job::State::ended;
    if (const auto it = jobs_.find(job.vertex.key); it != jobs_.end() && it->second == end.job) jobs_.erase(it);
    for (const auto& w : job.waiters) end.error ? w.result.fail(end.error) : w.result.set(end.record);
    const auto dependents = std::exchange(job.dependents, {});
    for (Job* d : dependents) {
      const JobPtr dependent = d->shared_from_this();
      std::erase(dependent->dependencies, end.job);
      --dependent->missing;
      if (end.error) {
        for (const auto& other : std::exchange(dependent->dependencies, {})) {
          std::erase(other->dependents, d);
          ++interest_generation_;
          release(other);
        }
        dependent->missing = 0;
        ends.push_back({dependent, nullptr, end.error});
        continue;
      }
      dependent->known.insert(job.made.begin(), job.made.end());
      if (dependent->missing == 0) restart(dependent);
    }
  }
}

void Solver::release(JobPtr first) {
  std::vector<JobPtr> open{std::move(first)};
  while (!open.empty()) {
    const JobPtr job = std::move(open.back());
    open.pop_back();
    if (job->wanted() || job->state == Job::State::ended) continue;
    ++interest_generation_;
    if (job->state == Job::State::running) {
      job->cancel.request("nobody wants it any more");
      continue;
    }
    job->state = Job::State::ended;
    if (const auto it = jobs_.find(job->vertex.key); it != jobs_.end() && it->second == job) jobs_.erase(it);
    for (const auto& dependency : std::exchange(job->dependencies, {})) {
      std::erase(dependency->dependents, job.get());
      open.push_back(dependency);
    }
  }
}

void Solver::leave(Client& client) {
  // The waiters themselves belong to calls that are about to end.
  for (const auto& [key, job] : jobs_)
    for (auto& w : job->waiters)
      if (w.client == &client) w.client = nullptr;
  ++interest_generation_;
}

// ---- making ----

Task<void> Solver::run(JobPtr job) {
  RecordPtr record;
  std::exception_ptr error;
  // In a turn of its own: a long row of hits neither holds the thread nor needs a stack as deep as itself.
  co_await next_turn(loop_);
  try {
    job->cancel.token().throw_if_cancelled();
    auto inputs = input_stacks(*job);
    const auto lease = store_.lease([&] {
      store::Stack all;
      for (const auto& s : inputs) all.insert(all.end(), s.begin(), s.end());
      return all;
    }());
    record = co_await reuse(job, inputs);
    if (!record) {
      job->started(reason(job->vertex));
      const auto begun = Loop::Clock::now();
      store::Record made = co_await make(job, inputs);
      made.cost_usec = static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(Loop::Clock::now() - begun).count());
      record = publish(*job, std::move(made), inputs);
      job->ended(link::Outcome::done, {});
      if (!tiers_->empty()) work_.spawn(tiers_->offer(loop_, io_, record, job->vertex.key, closing_.token()));
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
    if (const auto same = store_.find(*key)) {
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
  auto found = co_await on_pool(loop_, io_, [&] { return tiers_->find(keys, call); });
  if (!found) co_return nullptr;
  auto record = publish(*job, std::move(*found), inputs);
  job->ended(link::Outcome::cached, {}, "cache tier");
  co_return record;
}

Solver::RecordPtr Solver::publish(Job& job, store::Record record, const std::vector<store::Stack>& inputs) {
  const auto& vertex = job.vertex;
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
  store::Stack all;
  for (const auto& s : inputs) all.insert(all.end(), s.begin(), s.end());
  // Solver and vertex may be gone by then: keep what the key needs.
  auto later = std::make_shared<dag::Vertex>();
  later->op = vertex.op;
  later->parts = vertex.parts;
  later->key = vertex.key;
  later->times_matter = vertex.times_matter;
  later->inputs.resize(inputs.size());
  store_.when_digested(all, [&store = store_, later, inputs] {
    if (const auto key = content_key(store, *later, inputs)) store.add_key(*key, later->key);
  });
}

std::string Solver::reason(const dag::Vertex& vertex) const {
  RecordPtr nearest;
  std::string best;
  for (const auto& slot : dag::slots(vertex.op, vertex.parts)) {
    auto record = store_.last_in_slot(slot);
    if (!record) record = store_.find(slot);
    if (!record || record->kind != dag::kind_name(vertex.op)) continue;
    auto text = dag::explain(record->parts, vertex.parts);
    // The record with the fewest differences says most.
    if (best.empty() || std::ranges::count(text, ',') < std::ranges::count(best, ',')) best = std::move(text);
  }
  return best.empty() ? "never made before" : best;
}

Task<store::Record> Solver::make(JobPtr job, std::vector<store::Stack> inputs) {
  const auto& fields = job->vertex.op.fields;
  if (std::holds_alternative<dag::Exec>(fields)) return run_exec(std::move(job), std::move(inputs));
  if (std::holds_alternative<dag::Source>(fields)) return run_source(std::move(job));
  return run_tree(std::move(job), std::move(inputs));
}

}  // namespace dagger::solver
