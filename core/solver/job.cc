#include "core/solver/job.h"

#include <unordered_set>

namespace dagger::solver {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& w : words) (out += out.empty() ? "" : " ") += w;
  constexpr std::size_t shown = 120;
  if (out.size() > shown) out = out.substr(0, shown) + "...";
  for (auto& c : out)
    if (c == '\n') c = ' ';
  return out;
}

}  // namespace

std::string describe(const dag::Op& op) {
  struct Describe {
    std::string operator()(const dag::Scratch&) const { return "scratch"; }
    std::string operator()(const dag::Source& s) const { return "pull " + s.pin_identity; }
    std::string operator()(const dag::Local&) const { return "host directory"; }
    std::string operator()(const dag::Exec& e) const { return "exec " + joined(e.args); }
    std::string operator()(const dag::Copy& c) const { return "copy " + c.source + " " + c.target; }
    std::string operator()(const dag::Subpath& s) const { return "directory " + s.path; }
    std::string operator()(const dag::Merge&) const { return "merge"; }
    std::string operator()(const dag::Diff&) const { return "diff"; }
    std::string operator()(const dag::Write& w) const { return "write " + w.path; }
    std::string operator()(const dag::Mkdir& m) const { return "mkdir " + m.path; }
    std::string operator()(const dag::Remove& r) const { return "remove " + r.path; }
    std::string operator()(const dag::Symlink& s) const { return "symlink " + s.link; }
    std::string operator()(const dag::Timestamps&) const { return "timestamps"; }
    std::string operator()(const dag::Chown& c) const { return "chown " + c.owner + " " + c.path; }
    std::string operator()(const dag::Archive&) const { return "archive"; }
  };
  return std::visit(Describe{}, op.fields);
}

Job::Job(Solver& s, std::shared_ptr<dag::Graph> g, const dag::Vertex& v)
    : solver(s), graph(std::move(g)), vertex(v), name(describe(v.op)) {}

const std::vector<Client*>& Job::watchers() {
  // From those that nobody depends on, so that what is found for one serves all before it.
  struct Step {
    Job* job;
    std::size_t next = 0;
  };
  std::vector<Step> path{{this}};
  while (!path.empty()) {
    auto& [job, next] = path.back();
    if (job->watchers_generation_ == solver.interest_generation_) {
      path.pop_back();
    } else if (next < job->dependents.size()) {
      path.push_back({job->dependents[next++]});
    } else {
      job->gather_watchers();
      path.pop_back();
    }
  }
  return watchers_;
}

void Job::gather_watchers() {
  watchers_generation_ = solver.interest_generation_;
  watchers_.clear();
  std::unordered_set<const Client*> seen;
  const auto add = [&](Client* client) {
    if (client != nullptr && seen.insert(client).second) watchers_.push_back(client);
  };
  for (const auto& w : waiters) add(w.client);
  for (const Job* d : dependents)
    for (Client* client : d->watchers_) add(client);
}

Client& Job::any_client() {
  const auto& all = watchers();
  if (all.empty()) throw Error(Code::cancelled, "no client wants this any more");
  return *all.front();
}

void Job::tell(link::Event event) {
  event.op = vertex.digest;
  for (Client* client : watchers()) {
    if (event.kind == link::EventKind::finished) client->first_mention(vertex.digest);  // not shown as a hit afterwards
    client->event(event);
  }
}

void Job::started(std::string why) {
  link::Event e;
  e.kind = link::EventKind::started;
  e.name = name;
  e.reason = std::move(why);
  tell(std::move(e));
}

void Job::ended(link::Outcome outcome, std::string text, std::string how) {
  link::Event e;
  e.kind = link::EventKind::finished;
  e.name = name;
  e.outcome = outcome;
  e.text = std::move(text);
  e.reason = std::move(how);
  tell(std::move(e));
}

void Job::log(std::string line) {
  link::Event e;
  e.kind = link::EventKind::log;
  e.text = std::move(line);
  tell(std::move(e));
}

void Job::progress(std::string what, std::int64_t done, std::int64_t total) {
  link::Event e;
  e.kind = link::EventKind::progress;
  e.text = std::move(what);
  e.done = done;
  e.total = total;
  tell(std::move(e));
}

Task<std::string> Job::secret(std::string secret_name) {
  return ask<std::string>(
      [secret_name, token = cancel.token()](Client& client) { return client.secret(secret_name, token); });
}
Task<std::optional<plugin::Credentials>> Job::credentials(std::string realm) {
  return ask<std::optional<plugin::Credentials>>(
      [realm, token = cancel.token()](Client& client) { return client.credentials(realm, token); });
}
Task<UniqueFd> Job::open_socket(std::string id) {
  return ask<UniqueFd>([id, token = cancel.token()](Client& client) { return client.open_socket(id, token); });
}
TaskGroup& Job::questions() { return solver.work_; }

}  // namespace dagger::solver
