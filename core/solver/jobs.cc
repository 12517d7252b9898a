// Jobs from the first that wants them to their end: what they depend on, who waits for them, who still wants them.
#include <unordered_set>

#include "core/solver/job.h"
#include "core/solver/turns.h"

namespace dagger::solver {
namespace {

template <class T>
T take_last(std::vector<T>& from) {
  T last = std::move(from.back());
  from.pop_back();
  return last;
}

}  // namespace

Solver::JobPtr Solver::job_for(const std::shared_ptr<dag::Graph>& graph, const dag::Vertex& vertex,
                               std::vector<JobPtr>& created) {
  const auto it = jobs_.find(vertex.key);
  if (it != jobs_.end()) return it->second;
  auto job = std::make_shared<Job>(*this, graph, vertex);
  jobs_.emplace(vertex.key, job);
  created.push_back(job);
  return job;
}

// ---- the beginning ----

void Solver::plan_all(std::vector<JobPtr> jobs) {
  unplanned_.insert(unplanned_.end(), std::make_move_iterator(jobs.begin()), std::make_move_iterator(jobs.end()));
  if (!planning_ && !unplanned_.empty()) work_.spawn(plan_in_turns());
}

Task<void> Solver::plan_in_turns() {
  planning_ = true;
  Turns turns(loop_);
  while (!unplanned_.empty()) {
    const JobPtr job = take_last(unplanned_);
    if (job->state == Job::State::planned) {
      std::exception_ptr error;
      try {
        co_await plan(job, turns);
      } catch (...) {  // else nothing would be planned any more
        error = std::current_exception();
      }
      if (error) finish(job, nullptr, error);
    }
    if (turns.over()) co_await turns.next();
  }
  planning_ = false;
}

Task<void> Solver::plan(JobPtr job, Turns& turns) {
  const auto& vertex = job->vertex;
  std::vector<store::Stack> inputs;
  std::vector<StackWalk::Gap> gaps;
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) {
    StackWalk walk(store_, job->known, *vertex.inputs[i], vertex.op.inputs[i].output);
    while (walk.step())
      if (turns.over()) co_await turns.next();
    gaps.insert(gaps.end(), walk.gaps.begin(), walk.gaps.end());
    if (!walk.gaps.empty()) continue;
    job->known.try_emplace({vertex.inputs[i]->key, vertex.op.inputs[i].output},
                           std::make_shared<const store::Stack>(walk.stack));
    inputs.push_back(std::move(walk.stack));
  }
  // Nobody may want it any more, and what it lacked may be there.
  if (job->state != Job::State::planned) co_return;
  if (std::ranges::any_of(gaps, [&](const auto& gap) { return gap.closed(store_); })) {
    unplanned_.push_back(job);
    co_return;
  }
  if (gaps.empty()) {
    job->inputs = std::move(inputs);
    job->state = Job::State::running;
    work_.spawn(run(job));
    co_return;
  }
  std::unordered_set<Job*> known;
  for (const auto& gap : gaps) {
    const JobPtr dependency = job_for(job->graph, *gap.vertex, unplanned_);
    if (!known.insert(dependency.get()).second) continue;
    dependency->dependents.push_back(job.get());
    job->dependencies.push_back(dependency);
    ++job->missing;
    if (dependency->hear(job->audience)) tell_dependencies(*dependency);
  }
}

// ---- the end ----

void Solver::finish(JobPtr job, RecordPtr record, std::exception_ptr error) {
  ends_.push_back({std::move(job), std::move(record), std::move(error)});
  settle();
}

void Solver::release(JobPtr job) {
  perhaps_unwanted_.push_back(std::move(job));
  settle();
}

void Solver::tell_dependencies(const Job& job) {
  if (job.dependencies.empty()) return;
  recounts_.insert(recounts_.end(), job.dependencies.begin(), job.dependencies.end());
  settle();
}

void Solver::settle() {
  if (!settling_) work_.spawn(settle_in_turns());
}

Task<void> Solver::settle_in_turns() {
  settling_ = true;
  for (Turns turns(loop_);;) {
    if (!ends_.empty()) {
      auto [job, record, error] = take_last(ends_);
      end(std::move(job), std::move(record), std::move(error));
    } else if (!perhaps_unwanted_.empty()) {
      give_up_if_unwanted(take_last(perhaps_unwanted_));
    } else if (!recounts_.empty()) {
      const JobPtr job = take_last(recounts_);
      if (job->state != Job::State::ended && job->recount()) tell_dependencies(*job);
    } else {
      break;
    }
    if (turns.over()) co_await turns.next();
  }
  settling_ = false;
}

void Solver::end(JobPtr job, RecordPtr record, std::exception_ptr error) {
  if (job->state == Job::State::ended) return;
  // Cancelled because nobody wanted it, and now somebody does: from the start.
  if (error && job->cancel.requested() && !closing_.requested() && job->wanted()) {
    job->state = Job::State::planned;
    job->cancel = CancelSource();
    job->known.clear();  // nothing has kept them meanwhile
    plan_all({job});
    return;
  }
  retire(job);
  for (const auto& w : job->waiters) error ? w.result.fail(error) : w.result.set(record);
  std::vector<JobPtr> ready;
  for (Job* d : std::exchange(job->dependents, {})) {
    const JobPtr dependent = d->shared_from_this();
    std::erase(dependent->dependencies, job);
    if (error) {
      ends_.push_back({dependent, nullptr, error});
      continue;
    }
    dependent->known.insert(job->made.begin(), job->made.end());
    if (--dependent->missing == 0) ready.push_back(dependent);
  }
  detach(job);
  plan_all(std::move(ready));
}

void Solver::give_up_if_unwanted(const JobPtr& job) {
  if (job->state == Job::State::ended) return;
  if (job->wanted()) {
    if (job->recount()) tell_dependencies(*job);
    return;
  }
  if (job->state == Job::State::running) {
    job->audience.clear();
    job->cancel.request("nobody wants it any more");
    return;
  }
  retire(job);
  detach(job);
}

void Solver::retire(const JobPtr& job) {
  job->state = Job::State::ended;
  job->audience.clear();
  if (const auto it = jobs_.find(job->vertex.key); it != jobs_.end() && it->second == job) jobs_.erase(it);
}

// From what it depends on, which nobody else may want.
void Solver::detach(const JobPtr& job) {
  for (auto& dependency : std::exchange(job->dependencies, {})) {
    std::erase(dependency->dependents, job.get());
    perhaps_unwanted_.push_back(std::move(dependency));
  }
}

void Solver::leave(Client& client) {
  // The waiters themselves belong to calls that are about to end.
  for (const auto& [key, job] : jobs_) {
    std::erase(job->audience, &client);
    for (auto& w : job->waiters)
      if (w.client == &client) w.client = nullptr;
  }
}

}  // namespace dagger::solver
