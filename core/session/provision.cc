#include "core/session/provision.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/fs.h"
#include "core/graphql/version.h"
#include "core/link/messages/messages.h"

namespace dagger::session {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds start_limit(10'000);
constexpr milliseconds first_pause(2), longest_pause(50);
constexpr std::size_t shown_log = 2000;

Task<void> pause(Loop& loop, milliseconds time) {
  OneShot<Unit> over(loop);
  const auto timer = loop.after(time, [over] { over.set({}); });
  co_await over;
}

// Ours alone, and a real directory: who can put a socket there could serve us a runner of his own.
bool make_private_directory(const std::string& path, unsigned uid) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return false;
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) return false;
  if (!S_ISDIR(st.st_mode) || st.st_uid != uid || (st.st_mode & 077) != 0)
    throw Error(Code::permission_denied, "directory " + path + " for the runner's socket must belong to uid " +
                                             std::to_string(uid) +
                                             " with mode 0700: remove it, or set XDG_RUNTIME_DIR");
  return true;
}

std::string last_lines(const std::string& file) {
  if (!exists(file)) return {};
  const auto fd = open_file(file, O_RDONLY);
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) throw_errno("look at " + file);
  const auto from = std::max<off_t>(0, st.st_size - static_cast<off_t>(shown_log));
  std::string log(shown_log, '\0');
  const auto got = ::pread(fd.get(), log.data(), log.size(), from);
  if (got < 0) throw_errno("read " + file);
  log.resize(static_cast<std::size_t>(got));
  if (from != 0) log.erase(0, log.find('\n') + 1);
  while (!log.empty() && log.back() == '\n') log.pop_back();
  return log.empty() ? "" : "; its log " + file + " ends with:\n" + log;
}

bool nobody_listens(const Error& error) { return error.code() == Code::unavailable || error.code() == Code::not_found; }

// "dagger 0.1.0"
std::optional<graphql::Version> version_of(std::string_view software) {
  const auto space = software.rfind(' ');
  return graphql::Version::parse(space == std::string_view::npos ? software : software.substr(space + 1));
}

class LocalRunner {
 public:
  LocalRunner(Loop& loop, Pool& pool, Spawner& spawner, link::Transport& transport, const Client& client,
              ProvisionOptions options)
      : loop_(loop),
        pool_(pool),
        spawner_(spawner),
        transport_(transport),
        client_(client),
        options_(std::move(options)) {}

  Task<std::unique_ptr<link::Peer>> provide(CancelToken cancel) {
    auto find = [this] { directory_ = socket_directory(client_, ::geteuid()); };
    co_await on_pool(loop_, pool_, std::ref(find));
    // Another protocol has another name, so that tools of two versions do not meet.
    const auto name = "/runner-" + std::to_string(link::protocol_version);
    socket_ = directory_ + name + ".sock";
    if (auto peer = co_await try_connect(cancel)) co_return std::move(peer);
    const auto lock = co_await take_lock(directory_ + name + ".lock", cancel);
    if (auto peer = co_await try_connect(cancel)) co_return std::move(peer);  // another session was first
    auto start = [this] { start_runner(); };
    co_await on_pool(loop_, pool_, std::ref(start));
    co_return co_await wait_for_runner(std::move(cancel));
  }

 private:
  // Null when nobody listens, or who listens is older and makes room.
  Task<std::unique_ptr<link::Peer>> try_connect(CancelToken cancel) {
    try {
      auto peer = co_await transport_.connect("unix://" + socket_, options_.peer, cancel);
      const auto theirs = version_of(peer->other().software);
      const auto ours = version_of(options_.version);
      if (!theirs || !ours || *theirs >= *ours) co_return std::move(peer);
      if (co_await drains(*peer, cancel)) co_return nullptr;
      // Others use it, so it keeps the state directory. It speaks our protocol, else its socket had another name.
      co_return co_await transport_.connect("unix://" + socket_, options_.peer, cancel);
    } catch (const Error& error) {
      if (!nobody_listens(error)) throw;
    }
    co_return nullptr;
  }

  Task<bool> drains(link::Peer& older, CancelToken cancel) {
    older.start();
    const auto reply = co_await older.call(link::method::drain, "", std::move(cancel));
    if (!cbor::unpack<link::DrainReply>(reply).now) co_return false;
    auto still_there = [this] { return exists(socket_); };
    for (auto waited = milliseconds(0); waited < start_limit && co_await on_pool(loop_, pool_, std::ref(still_there));
         waited += first_pause)
      co_await pause(loop_, first_pause);
    co_return true;
  }

  Task<UniqueFd> take_lock(std::string path, CancelToken cancel) {
    UniqueFd lock;
    auto try_lock = [&lock, &path] {
      if (!lock) lock = open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
      if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return true;
      if (errno != EWOULDBLOCK) throw_errno("lock " + path);
      return false;
    };
    while (!co_await on_pool(loop_, pool_, std::ref(try_lock))) {
      cancel.throw_if_cancelled();
      co_await pause(loop_, first_pause);
    }
    co_return lock;
  }

  void start_runner() {
    if (options_.log_file.empty()) options_.log_file = directory_ + "/runner.log";
    make_dirs(parent_path(options_.log_file), 0700);
    const auto log = open_file(options_.log_file, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    SpawnRequest request;
    request.argv = {options_.program, "runner", "--on-demand", "--listen", "unix://" + socket_};
    request.argv.insert(request.argv.end(), options_.runner_args.begin(), options_.runner_args.end());
    for (const auto& [name, value] : client_.env)
      if (name != "DAGGER_SESSION_PORT" && name != "DAGGER_SESSION_TOKEN") request.env.push_back(name + "=" + value);
    request.stdio[2] = log.get();
    request.die_with_parent = false;
    request.new_session = true;
    child_ = spawner_.spawn(request);
  }

  Task<std::unique_ptr<link::Peer>> wait_for_runner(CancelToken cancel) {
    // It ends for reasons of its own if it cannot serve; else it is not ours to end.
    bool ended = false;
    const auto watch = loop_.when_readable(child_.fd(), [&ended] { ended = true; });
    auto wait = first_pause;
    std::unique_ptr<link::Peer> peer;
    for (auto waited = milliseconds(0); !peer && !ended && waited < start_limit; waited += wait) {
      co_await pause(loop_, wait);
      wait = std::min(wait * 2, longest_pause);
      peer = co_await try_connect(cancel);
    }
    if (peer) {
      child_.release();
      co_return std::move(peer);
    }
    auto log_end = [this] { return last_lines(options_.log_file); };
    const auto shown = co_await on_pool(loop_, pool_, std::ref(log_end));
    throw Error(Code::unavailable,
                (ended ? "the runner ended when it was started" : "the runner does not answer after 10 s") + shown);
  }

  Loop& loop_;
  Pool& pool_;
  Spawner& spawner_;
  link::Transport& transport_;
  const Client& client_;
  ProvisionOptions options_;
  std::string directory_, socket_;
  Child child_;
};

}  // namespace

std::string socket_directory(const Client& client, unsigned uid) {
  if (const auto* runtime = client.variable("XDG_RUNTIME_DIR"); runtime != nullptr && runtime->starts_with('/'))
    if (make_private_directory(*runtime + "/dagger", uid)) return *runtime + "/dagger";
  const auto name = "/dagger-" + std::to_string(uid);
  if (make_private_directory("/run" + name, uid)) return "/run" + name;
  if (make_private_directory("/tmp" + name, uid)) return "/tmp" + name;
  throw Error(Code::permission_denied, "no place for the runner's socket: set XDG_RUNTIME_DIR to a directory of yours");
}

Task<std::unique_ptr<link::Peer>> provide_runner(Loop& loop, Pool& pool, Spawner& spawner, link::Transport& transport,
                                                 const Client& client, ProvisionOptions options, CancelToken cancel) {
  const auto* named = client.variable("_EXPERIMENTAL_DAGGER_RUNNER_HOST");
  const auto host = named != nullptr && !named->empty() ? *named : options.runner_host;
  if (const auto* token = client.variable("_EXPERIMENTAL_DAGGER_RUNNER_TOKEN")) options.peer.token = *token;
  if (host.empty()) {
    if (options.check_can_start != nullptr) options.check_can_start();
    LocalRunner local(loop, pool, spawner, transport, client, std::move(options));
    co_return co_await local.provide(std::move(cancel));
  }
  if (!host.starts_with("unix://") && !host.starts_with("tcp://"))
    throw Error(Code::unsupported, "runner host \"" + host + "\": only unix:///path and tcp://host:port are supported");
  try {
    co_return co_await transport.connect(host, std::move(options.peer), std::move(cancel));
  } catch (const Error& error) {
    throw Error(error).in("runner " + host);
  }
}

}  // namespace dagger::session
