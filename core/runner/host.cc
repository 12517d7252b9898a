#include "core/runner/host.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/fs.h"
#include "core/link/messages/messages.h"

namespace dagger::runner {
namespace {

// A runner that has become idle, or has made room for a newer one, is off its socket before it is off its directory.
constexpr std::chrono::seconds wait_for_predecessor(5);

solver::Backends backends(plugin::Registry& plugins, const Config& config) {
  solver::Backends b{plugins.executor(),
                     [&plugins](const std::string& scheme) -> plugin::Source& { return plugins.source(scheme); },
                     [&plugins](const std::string& name) -> plugin::Network& { return plugins.network(name); },
                     {}};
  for (std::size_t i = 0; i < plugins.caches().size(); ++i)
    b.caches.emplace_back(config.caches.at(i).use, plugins.caches()[i]);
  return b;
}

// Every session takes a descriptor, and every exec several: the usual soft limit of 1024 is soon used up.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, 65'536));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

void check_privileges() {
  if (::geteuid() == 0) return;
  throw Error(Code::permission_denied,
              "the runner needs root for now (it mounts overlays and starts containers): start it as root, or point "
              "_EXPERIMENTAL_DAGGER_RUNNER_HOST at a runner that has it");
}

std::string host_platform() {
  utsname name{};
  ::uname(&name);
  const std::string machine = name.machine;
  const std::string architecture = machine == "x86_64" ? "amd64" : machine == "aarch64" ? "arm64" : machine;
  return "linux/" + architecture;
}

Host::Host(Loop& loop, Log& log, Config config, HostOptions options)
    : loop_(loop),
      log_(log),
      config_(std::move(config)),
      options_(std::move(options)),
      info_{options_.version, "dagger-" + std::to_string(::getpid()), host_platform()},
      plugins_({config_.plugin_dirs, config_.state_dir, options_.install_dir}, log, spawner_),
      transport_(loop, log),
      stop_(loop) {
  plugins_.load_first("snapshotter", config_.snapshotter);
  plugins_.load_first("executor", config_.executor);
  for (const auto& [name, choice] : config_.networks) plugins_.load("network", choice);
  for (const auto& choice : config_.sources) plugins_.load("source", choice);
  for (const auto& choice : config_.caches) plugins_.load("cache", choice);
  store::Options store_options;
  store_options.dir = config_.state_dir;
  if (options_.on_demand) store_options.lock_wait = wait_for_predecessor;
  store_ = store::Store::open(store_options, plugins_.snapshotter(), log_);
  solver_ = std::make_unique<solver::Solver>(loop_, *store_, backends(plugins_, config_),
                                             solver::Limits{config_.parallel_execs, config_.parallel_io}, log_);
}

Host::~Host() = default;

void Host::listen() {
  raise_descriptor_limit();
  for (const auto& address : config_.listen.addresses) {
    link::Transport::ListenOptions o;
    o.address = address;
    o.socket_mode = config_.listen.socket_mode;
    o.socket_group = config_.listen.socket_group;
    o.token = config_.listen.token;
    o.allow_insecure = config_.listen.allow_loopback_without_token;
    o.peer.software = "dagger " + options_.version;
    listeners_.push_back(transport_.listen(o, [this](std::unique_ptr<link::Peer> peer) { accept(std::move(peer)); }));
    log_.info("listening on " + listeners_.back()->address());
  }
  rest();
}

std::vector<std::string> Host::addresses() const {
  std::vector<std::string> all;
  for (const auto& l : listeners_) all.push_back(l->address());
  return all;
}

void Host::accept(std::unique_ptr<link::Peer> peer) {
  if (stopping_ || listeners_.empty()) return;  // the peer is closed by its destructor
  idle_.cancel();
  const auto id = next_session_++;
  // Only for a tool of the same user, which will start the next runner: not for every holder of a token.
  if (peer->other().scope == "uid:" + std::to_string(::geteuid()))
    peer->serve(link::method::drain, [this](const std::string&, const CancelToken&) { return drain(); });
  sessions_[id] =
      ConnectedSession::start(std::move(peer), *solver_, info_, "session-" + std::to_string(id), [this, id] {
        sessions_.erase(id);
        if (!stopping_) rest();
      });
}

void Host::rest() {
  if (!sessions_.empty()) return;
  if (draining_) return stop("drained");
  if (options_.on_demand && config_.idle_timeout.count() > 0)
    idle_ = loop_.after(config_.idle_timeout, [this] { stop("idle"); });
}

Task<std::string> Host::drain() {
  draining_ = true;
  const bool alone = sessions_.size() <= 1;  // but for the one who asks
  log_.info(alone ? "draining: no new sessions" : "draining: when the last session has gone");
  if (alone) listeners_.clear();
  co_return cbor::pack(link::DrainReply{alone});
}

void Host::stop(std::string reason) {
  if (std::exchange(stopping_, true)) return;
  log_.info("stopping: " + reason);
  idle_.cancel();
  listeners_.clear();
  stop_.spawn(shut_down());
}

Task<void> Host::shut_down() {
  for (const auto& [id, session] : std::map(sessions_)) session->close();
  co_await solver_->close();
  loop_.stop();
}

}  // namespace dagger::runner
