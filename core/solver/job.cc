#include "core/solver/job.h"

#include "core/solver/client_owner.h"

namespace dagger::solver {
namespace {

// The words may be of any size; this is called on the control thread.
std::string beginning(const std::vector<std::string>& words) {
  constexpr std::size_t shown = 120;
  std::string out;
  for (const auto& w : words) {
    (out += out.empty() ? "" : " ").append(w, 0, shown + 1);
    if (out.size() > shown) break;
  }
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
    std::string operator()(const dag::Exec& e) const { return "exec " + beginning(e.args); }
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

bool Job::hear(const std::vector<Client*>& clients) {
  const auto before = audience.size();
  for (Client* c : clients)
    if (c != nullptr && std::ranges::find(audience, c) == audience.end()) audience.push_back(c);
  return audience.size() != before;
}

bool Job::recount() {
  const auto before = std::exchange(audience, {});
  for (const auto& w : waiters) hear({w.client});
  for (const Job* d : dependents) hear(d->audience);
  return !std::ranges::is_permutation(before, audience);
}

Client& Job::any_client() {
  if (audience.empty()) throw Error(Code::cancelled, "no client wants this any more");
  return *audience.front();
}

void Job::tell(link::Event event) {
  event.op = vertex.digest;
  for (Client* client : audience) {
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

void Job::log(std::string line) { tell(log_event(std::move(line))); }

void Job::progress(std::string what, std::int64_t done, std::int64_t total) {
  tell(progress_event(std::move(what), done, total));
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
