#include "core/solver/exec_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "core/base/cbor.h"
#include "core/base/fs.h"
#include "core/dag/mount_target.h"
#include "core/store/tree/copy.h"
#include "core/store/tree/owner.h"
#include "core/store/tree/tree_ops.h"

namespace dagger::solver {
namespace {

std::string random_id() {
  char bytes[10];
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) throw_errno("getrandom");
  return "x" + to_base32({bytes, sizeof bytes});
}

std::vector<plugin::Layer> plugin_stack(const store::Store& store, const store::Stack& stack) {
  std::vector<plugin::Layer> layers;
  for (const auto id : stack) {
    const auto info = store.layer(id);
    if (!info) throw Error(Code::not_found, "layer " + std::to_string(id) + " is gone");
    layers.push_back({std::to_string(id), info->places, info->diff_id});
  }
  return layers;
}

Digest volume_instance(const dag::Mount& m, const std::optional<Digest>& initial, const std::string& scope) {
  cbor::Writer w;
  w.array(4).text(m.id).text(m.owner).text(scope).bytes(initial ? initial->raw() : std::string_view());
  return Digest::of(w.str());
}

bool below(const std::string& path, const std::string& parent) {
  return parent == "/" || path == parent ||
         (path.size() > parent.size() && path.starts_with(parent) && path[parent.size()] == '/');
}

bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return fd >= 0 && ::poll(&p, 1, 0) > 0;
}

// An executor elsewhere names layers by what the store called them.
store::LayerId layer_id(const store::Store& store, const plugin::Layer& layer) {
  store::LayerId id = 0;
  const char* const end = layer.id.data() + layer.id.size();
  const auto [parsed, error] = std::from_chars(layer.id.data(), end, id);
  if (error != std::errc() || parsed != end || !store.layer(id))
    throw Error(Code::plugin_fault, "the executor names a layer '" + layer.id + "', which was never given to it");
  return id;
}

template <class T>
bool offers(const std::vector<T>& all, const T& one) {
  return all.empty() || std::ranges::find(all, one) != all.end();
}

plugin::MountKind kind_of(dag::MountType type) {
  switch (type) {
    case dag::MountType::cache:
      return plugin::MountKind::cache;
    case dag::MountType::tmpfs:
      return plugin::MountKind::tmpfs;
    case dag::MountType::secret:
      return plugin::MountKind::secret;
    case dag::MountType::socket:
      return plugin::MountKind::socket;
    case dag::MountType::tree:
      break;
  }
  return plugin::MountKind::tree;
}

std::pair<std::string, UniqueFd> new_log(const std::string& dir) {
  std::string path = dir + "/log-XXXXXX";
  UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC | O_APPEND));
  if (!fd) throw_errno("make a log file in " + dir);
  return {path, std::move(fd)};
}

constexpr std::uint32_t secret_mode = 0400, socket_mode = 0600;

}  // namespace

struct ExecRun::Tree {
  store::Stack stack;
  std::string output;     // name of its output; empty: read-only
  std::int32_t base = 0;  // index of the op's input
  std::string target;     // where it is mounted
  std::string subpath;    // what of it is mounted there
  std::unique_ptr<store::Workspace> workspace;
  std::unique_ptr<plugin::View> view;
  int fd() const { return workspace ? workspace->root_fd() : view->root_fd(); }
  int lost_fd() const { return workspace ? workspace->lost_fd() : view ? view->lost_fd() : -1; }
  bool detached_mount() const { return workspace ? workspace->detached_mount() : view->detached_mount(); }
};

// For executors elsewhere: they name layers by the store's numbers.
class ExecRun::Transfer final : public plugin::LayerTransfer {
 public:
  Transfer(store::Store& store, plugin::CallContext& ctx) : store_(store), ctx_(ctx) {}
  std::unique_ptr<plugin::ByteStream> read(const plugin::Layer& layer, std::string_view form) override {
    if (form != plugin::form::tar)
      throw Error(Code::unsupported, "layers are given as " + std::string(plugin::form::tar));
    return store_.tar_of(layer_id(store_, layer), ctx_);
  }
  plugin::Layer write(plugin::ByteStream& stream, std::string_view) override {
    const auto id = store_.unpack(stream, "", "", ctx_);
    const auto info = store_.layer(id);
    if (!info) throw Error(Code::not_found, "layer " + std::to_string(id) + " is gone");
    return {std::to_string(id), info->places, info->diff_id};
  }

 private:
  store::Store& store_;
  plugin::CallContext& ctx_;
};

ExecRun::ExecRun(store::Store& store, plugin::Executor& executor, const dag::Exec& op, std::vector<store::Stack> inputs,
                 std::string scope, Secrets secrets)
    : store_(store),
      executor_(executor),
      local_executor_(static_cast<plugin::LocalExecutor*>(executor.capability(plugin::LocalExecutor::capability_id))),
      op_(op),
      inputs_(std::move(inputs)),
      scope_(std::move(scope)),
      secrets_(std::move(secrets)) {}

ExecRun::~ExecRun() {
  running_.reset();
  for (const auto& log : {out_log_, err_log_})
    if (!log.empty()) ::unlink(log.c_str());
}

std::set<std::string> ExecRun::locked_volumes(const dag::Exec& op, const std::string& scope) {
  std::set<std::string> names;
  for (const auto& m : op.mounts)
    if (m.type == dag::MountType::cache && m.sharing == dag::Sharing::locked) names.insert(scope + "\n" + m.id);
  return names;
}

// ---- preparing ----

void ExecRun::check_supported() const {
  const auto traits = executor_.traits();
  const bool local = local_executor_ != nullptr;
  if (!op_.platform.empty() && !offers(traits.platforms, op_.platform))
    throw Error(Code::unsupported, "the configured executor does not run processes of platform " + op_.platform);
  if (!local && !offers(traits.network_classes, op_.network_class))
    throw Error(Code::unsupported, "the configured executor has no network of class '" + op_.network_class + "'");
  if (!local && !(op_.redirect_stdin + op_.redirect_stdout + op_.redirect_stderr).empty())
    throw Error(Code::unsupported, "the configured executor runs elsewhere: standard streams cannot be files there");
  for (const auto& m : op_.mounts) {
    dag::check_mount_target(m.target);
    if (!offers(traits.mounts, kind_of(m.type)))
      throw Error(Code::unsupported, "the configured executor cannot mount what is wanted at " + m.target);
  }
}

// For names of users, also where the executor itself needs no view.
int ExecRun::root_fd(plugin::CallContext& ctx) {
  if (!root_->workspace && !root_->view) root_->view = store_.view(root_->stack, ctx);
  return root_->fd();
}

std::vector<plugin::MountStub> ExecRun::stubs_in(std::size_t mount_index, const std::string& subpath) const {
  // Targets whose nearest enclosing mount is this one (npos: the root filesystem).
  std::vector<plugin::MountStub> stubs;
  const std::string home = mount_index == std::string::npos ? "/" : op_.mounts[mount_index].target;
  for (std::size_t i = 0; i < op_.mounts.size(); ++i) {
    const auto& target = op_.mounts[i].target;
    if (i == mount_index || !below(target, home) || target == home) continue;
    std::size_t nearest = std::string::npos, depth = 0;
    for (std::size_t j = 0; j < op_.mounts.size(); ++j) {
      const auto& other = op_.mounts[j].target;
      if (j != i && other != target && below(target, other) && other.size() > depth) nearest = j, depth = other.size();
    }
    if (nearest != mount_index) continue;
    const std::string inside = home == "/" ? target : target.substr(home.size());
    stubs.push_back({join_path("/", subpath + inside), !is_file_[i]});
  }
  if (mount_index == std::string::npos)
    for (const auto& [path, directory] : {std::pair{"/proc", true},
                                          {"/sys", true},
                                          {"/dev", true},
                                          {"/etc/hosts", false},
                                          {"/etc/resolv.conf", false},
                                          {"/etc/hostname", false}})
      stubs.push_back({path, directory});
  return stubs;
}

void ExecRun::open_tree(Tree& tree, const std::vector<plugin::MountStub>& stubs, plugin::CallContext& ctx) {
  if (local_executor_ == nullptr) return;
  // Mount points inside a read-only tree need a place of their own too.
  if (!tree.output.empty() || !stubs.empty())
    tree.workspace = store_.workspace(tree.stack, stubs, ctx);
  else
    tree.view = store_.view(tree.stack, ctx);
}

void ExecRun::add_volume(const dag::Mount& m, plugin::ExecMount& mount, plugin::LocalMount& local,
                         plugin::CallContext& ctx) {
  std::optional<Digest> initial;
  const store::Stack* stack = m.input >= 0 ? &inputs_.at(static_cast<std::size_t>(m.input)) : nullptr;
  if (stack != nullptr) {
    cbor::Writer w;  // by layers: which digest they have may not be known yet
    w.array(stack->size() + 1).text(m.subpath);
    for (const auto id : *stack) w.uint(id);
    initial = Digest::of(w.str());
  }
  const auto instance = volume_instance(m, initial, scope_);
  mount.source_id = instance.str();
  if (stack != nullptr) mount.stack = plugin_stack(store_, *stack);
  if (local_executor_ == nullptr) return;
  const auto volume = store_.volume(instance, [&](int root) {
    store::tree::Owner owner;
    if (!m.owner.empty()) owner = store::tree::find_owner(root_->fd(), m.owner);
    if (stack != nullptr) {
      const auto view = store_.view(*stack, ctx);
      store::tree::CopyOptions options;
      options.owner = owner;
      store::tree::copy(view->root_fd(), m.subpath.empty() ? "/" : m.subpath, root, "/", options, ctx);
    }
    if (owner.set && ::fchown(root, owner.uid, owner.gid) != 0) throw_errno("chown of a cache volume");
  });
  auto dir = open_file(volume.path, O_RDONLY | O_DIRECTORY);
  local.fd = dir.get();
  fds_.push_back(std::move(dir));
}

void ExecRun::add_mount(std::size_t index, plugin::CallContext& ctx) {
  const auto& m = op_.mounts[index];
  auto& mount = request_.mounts.emplace_back();
  auto& local = local_.mounts.emplace_back();
  mount.target = m.target;
  mount.read_only = m.read_only;
  switch (m.type) {
    case dag::MountType::tree: {
      const Tree& tree = *trees_[index];
      mount.kind = plugin::MountKind::tree;
      mount.output = tree.output;
      mount.subpath = m.subpath;
      mount.stack = plugin_stack(store_, tree.stack);
      if (local_executor_ != nullptr) local.fd = tree.fd(), local.detached_mount = tree.detached_mount();
      return;
    }
    case dag::MountType::cache:
      mount.kind = plugin::MountKind::cache;
      add_volume(m, mount, local, ctx);
      return;
    case dag::MountType::tmpfs:
      mount.kind = plugin::MountKind::tmpfs;
      mount.size_bytes = m.size;
      return;
    case dag::MountType::secret:
    case dag::MountType::socket: {
      const bool secret = m.type == dag::MountType::secret;
      mount.kind = secret ? plugin::MountKind::secret : plugin::MountKind::socket;
      mount.source_id = m.id;
      mount.mode = m.mode != 0 ? m.mode : secret ? secret_mode : socket_mode;
      if (!m.owner.empty()) {
        const auto owner = store::tree::find_owner(root_fd(ctx), m.owner);
        mount.uid = owner.uid, mount.gid = owner.gid;
      }
      if (secret)
        mount.content = secrets_.values.at(m.id);
      else
        local.fd = secrets_.sockets.at(m.id).get();
      return;
    }
  }
}

void ExecRun::prepare(plugin::Network* network, plugin::CallContext& ctx) {
  check_supported();
  const std::size_t count = op_.mounts.size();
  trees_.resize(count);
  is_file_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& m = op_.mounts[i];
    is_file_[i] = m.type == dag::MountType::secret || m.type == dag::MountType::socket;
    if (m.type != dag::MountType::tree) continue;
    auto tree = std::make_unique<Tree>();
    tree->stack = inputs_.at(static_cast<std::size_t>(m.input));
    tree->base = m.input;
    tree->target = m.target;
    tree->subpath = m.subpath;
    if (!m.read_only) tree->output = "mount:" + m.target;
    if (!m.subpath.empty() && m.subpath != "/") {
      const auto view = store_.view(tree->stack, ctx);
      struct stat st{};
      const auto fd = open_in_root(view->root_fd(), m.subpath, O_PATH);
      if (::fstat(fd.get(), &st) != 0) throw_errno("stat " + m.subpath);
      is_file_[i] = !S_ISDIR(st.st_mode);
    }
    trees_[i] = std::move(tree);
  }
  root_ = std::make_unique<Tree>();
  root_->stack = inputs_.at(0);
  root_->output = "root";
  root_->target = "/";
  open_tree(*root_, stubs_in(std::string::npos, ""), ctx);
  for (std::size_t i = 0; i < count; ++i)
    if (trees_[i]) open_tree(*trees_[i], stubs_in(i, op_.mounts[i].subpath), ctx);

  request_.exec_id = random_id();
  request_.root = plugin_stack(store_, root_->stack);
  for (std::size_t i = 0; i < count; ++i) add_mount(i, ctx);
  request_.args = op_.args;
  request_.env = op_.env;
  for (const auto& [name, secret] : op_.secret_env) request_.env.emplace_back(name, secrets_.values.at(secret));
  request_.cwd = op_.cwd.empty() ? "/" : op_.cwd;
  request_.user = op_.user;
  request_.hostname = request_.exec_id.substr(0, 12);
  request_.network_class = op_.network_class;
  request_.platform = op_.platform;
  request_.root_capabilities = op_.root_capabilities;
  if (local_executor_ == nullptr) return;
  attachment_ = network->attach({request_.exec_id, request_.hostname, scope_}, ctx);
  request_.hosts = attachment_->hosts();
  local_.netns = attachment_->netns();
  local_.netns_fd = attachment_->netns_fd();
  local_.resolv_conf = attachment_->resolv_conf();
  local_.root_fd = root_->fd();
  local_.root_detached_mount = root_->detached_mount();
}

// ---- running ----

ExecRun::Streams ExecRun::start(plugin::CallContext& ctx) {
  const auto make = [&](std::string& log, UniqueFd& writing) {
    OutputPump::Stream s;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe");
    s.pipe.reset(ends[0]);
    writing.reset(ends[1]);
    auto [path, file] = new_log(store_.scratch_dir());
    log = std::move(path);
    s.file = std::move(file);
    for (const auto& [name, value] : secrets_.values) s.secrets.push_back(value);
    return s;
  };
  UniqueFd out, err, in;
  Streams streams{make(out_log_, out), make(err_log_, err)};
  if (!op_.stdin_text.empty()) in = sealed_memfd(op_.stdin_text, "stdin");
  if (!op_.redirect_stdin.empty()) {
    std::string inside;
    const int root = tree_of(op_.redirect_stdin, inside).fd();
    in = open_in_root(root, inside, O_RDONLY);
  }
  const plugin::Stdio stdio{in.get(), out.get(), err.get()};
  if (local_executor_ == nullptr) transfer_ = std::make_unique<Transfer>(store_, ctx);
  try {
    running_ = local_executor_ != nullptr ? local_executor_->start_local(request_, local_, stdio, ctx)
                                          : executor_.start(request_, stdio, *transfer_, ctx);
  } catch (const Error& error) {
    if (error.code() != Code::invalid_argument) throw;
    throw Error(error.code(), error.message());  // the user's fault: which plugin found it says nothing to the user
  }
  return streams;
}

std::vector<int> ExecRun::lost_fds() const {
  std::vector<int> fds;
  const auto add = [&](int fd) {
    if (fd >= 0) fds.push_back(fd);
  };
  if (attachment_) add(attachment_->lost_fd());
  add(root_->lost_fd());
  for (const auto& t : trees_)
    if (t) add(t->lost_fd());
  return fds;
}

void ExecRun::throw_if_lost(plugin::CallContext& ctx) {
  std::vector<Tree*> lost;
  if (readable(root_->lost_fd())) lost.push_back(root_.get());
  for (const auto& t : trees_)
    if (t && readable(t->lost_fd())) lost.push_back(t.get());
  if (!lost.empty()) running_.reset();
  for (Tree* tree : lost)
    if (tree->workspace) tree->workspace->seal(ctx);
  if (!lost.empty())
    throw Error(Code::unavailable, "the files of the process were lost: what serves its mounts has ended");
  if (!readable(running_->done_fd()))
    throw Error(Code::unavailable, "the network of the process was lost: what serves it has ended");
}

void ExecRun::terminate() noexcept {
  try {
    if (running_) running_->signal(SIGTERM);
  } catch (const Error&) {  // it has ended meanwhile
  }
}

void ExecRun::kill() noexcept { running_.reset(); }

plugin::ExecStatus ExecRun::end(plugin::CallContext& ctx) { return running_->wait(ctx); }

int ExecRun::exit_code(const plugin::ExecStatus& status) {
  constexpr int signal_base = 128;
  return status.kind == plugin::ExitKind::exited ? status.code : signal_base + status.code;
}

// ---- afterwards ----

ExecRun::Tree& ExecRun::tree_of(const std::string& path, std::string& inside) const {
  Tree* best = root_.get();
  for (const auto& t : trees_)
    if (t && below(path, t->target) && t->target.size() > best->target.size()) best = t.get();
  inside = best->target == "/" ? path : join_path("/", best->subpath + path.substr(best->target.size()));
  return *best;
}

void ExecRun::redirect(const std::string& path, const std::string& log) {
  if (path.empty()) return;
  std::string inside;
  const int root = tree_of(path, inside).fd();
  make_dirs_in_root(root, parent_path(inside));
  const auto to = open_in_root(root, inside, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const auto from = open_file(log, O_RDONLY);
  char buffer[1 << 16];
  while (const ssize_t n = ::read(from.get(), buffer, sizeof buffer)) {
    if (n < 0) throw_errno("read a log");
    write_all(to.get(), {buffer, static_cast<std::size_t>(n)});
  }
}

// A log that cannot be kept is removed with the run.
Digest ExecRun::keep_log(std::string& log) {
  const auto digest = store_.put_blob_file(log);
  log.clear();
  return digest;
}

store::Record ExecRun::seal(const plugin::ExecStatus& status, plugin::CallContext& ctx) {
  store::Record record;
  record.exit_code = exit_code(status);
  if (local_executor_ != nullptr) {
    redirect(op_.redirect_stdout, out_log_);
    redirect(op_.redirect_stderr, err_log_);
  }
  std::vector<plugin::ExecOutput> remote;
  if (local_executor_ == nullptr) remote = running_->outputs(ctx);
  running_.reset();
  attachment_.reset();
  const auto add = [&](Tree& tree) {
    if (tree.output.empty()) return;
    store::Output out{tree.output, tree.base, {}};
    if (local_executor_ != nullptr) {
      if (const auto layer = tree.workspace->seal(ctx)) out.layers.push_back(*layer);
    } else if (const auto it = std::ranges::find(remote, tree.output, &plugin::ExecOutput::name); it == remote.end()) {
      throw Error(Code::plugin_fault, "the executor gave no output '" + tree.output + "'");
    } else if (!it->unchanged) {
      out.layers.push_back(layer_id(store_, it->layer));
    }
    record.outputs.push_back(std::move(out));
  };
  add(*root_);
  for (const auto& t : trees_)
    if (t) add(*t);
  record.stdout_log = keep_log(out_log_);
  record.stderr_log = keep_log(err_log_);
  return record;
}

std::string error_window(std::string tail, std::uint64_t file_size) {
  if (file_size > error_window_bytes) {
    const std::string note = "[omitting " + std::to_string(file_size - error_window_bytes) + " bytes]...";
    tail.replace(0, std::min(note.size(), tail.size()), note);
  }
  constexpr const char* space = " \t\r\n\v\f";
  const auto first = tail.find_first_not_of(space);
  if (first == std::string::npos) return {};
  return tail.substr(first, tail.find_last_not_of(space) - first + 1);
}

link::ExecFailure ExecRun::failure(const plugin::ExecStatus& status) const {
  const auto window = [](const std::string& log) {
    const auto fd = open_file(log, O_RDONLY);
    const auto size = static_cast<std::uint64_t>(::lseek(fd.get(), 0, SEEK_END));
    ::lseek(fd.get(), size > error_window_bytes ? static_cast<off_t>(size - error_window_bytes) : 0, SEEK_SET);
    return error_window(read_all(fd.get(), error_window_bytes), size);
  };
  return {op_.args, exit_code(status), window(out_log_), window(err_log_)};
}

}  // namespace dagger::solver
