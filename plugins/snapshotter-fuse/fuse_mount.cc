#include "plugins/snapshotter-fuse/fuse_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "plugins/common/overlay/fs_context.h"
#include "plugins/common/sys/sys.h"

namespace dagger::fuse {
namespace {

using overlay::MountRequest;

constexpr int patience_ms = 30'000;  // for a process that was started or told to end, on a machine that swaps

// fds that the process gets, after 0, 1 and 2.
constexpr int device_fd = 3, first_directory_fd = 4;

UniqueFd open_device() {
  UniqueFd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
    throw Error(Code::unsupported,
                "there is no /dev/fuse here: load its module (modprobe fuse), or choose another snapshotter");
  if (!fd) sys::fail("open /dev/fuse");
  return fd;
}

UniqueFd mount_device(int device, bool writable) {
  overlay::FsContext fs("fuse");
  fs.set("source", "fuse-overlayfs");
  fs.set("subtype", "overlayfs");
  fs.set("fd", std::to_string(device).c_str());
  fs.set("rootmode", "40755");  // its type counts
  fs.set("user_id", "0");
  fs.set("group_id", "0");
  fs.set("allow_other");
  fs.set("default_permissions");
  return fs.mount(writable ? 0 : MOUNT_ATTR_RDONLY);
}

// The options, and the directories that they name by the fds which the process will have.
std::string options_for(const MountRequest& r, std::vector<UniqueFd>& directories) {
  const auto given = [&](const std::string& path) {
    directories.push_back(sys::open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY));
    return sys::fd_path(first_directory_fd + static_cast<int>(directories.size()) - 1);
  };
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < r.lowers.size(); ++i) options += (i > 0 ? ":" : "") + given(r.lowers[i]);
  if (r.upper.empty()) return options;
  // The process resolves these and takes the result apart again.
  if (r.upper.find(':') != std::string::npos)
    throw Error(Code::invalid_argument, "fuse-overlayfs cannot write below " + r.upper +
                                            ", whose name has a ':': choose another state directory or snapshotter");
  // volatile: the store decides what is durable, so a sync inside a container costs nothing.
  return options + ",upperdir=" + given(r.upper) + ",workdir=" + given(r.work) + ",volatile";
}

// What it has to say, without what it always says.
std::string last_words(int fd) {
  constexpr std::size_t most = 1000;
  std::string all, out;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(n));
  for (std::size_t start = 0; start < all.size();) {
    const auto end = std::min(all.find('\n', start), all.size());
    const auto line = all.substr(start, end - start);
    if (!line.empty() && line.rfind("unknown argument ignored", 0) != 0) out += (out.empty() ? "" : "; ") + line;
    start = end + 1;
  }
  return out.size() > most ? "..." + out.substr(out.size() - most) : out;
}

std::string described(const siginfo_t& end) {
  if (end.si_code == CLD_EXITED) return "ended with exit code " + std::to_string(end.si_status);
  const char* const name = ::sigabbrev_np(end.si_status);
  return "was killed by " + (name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(end.si_status));
}

bool readable(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  int n = 0;
  do n = ::poll(&p, 1, timeout_ms);
  while (n < 0 && errno == EINTR);
  return n > 0;
}

// While it exists, the process is killed as soon as the call is cancelled (or takes too long, where there is a limit):
// whoever waits for its answers gets an error then, and nothing hangs.
class Attended {
 public:
  Attended(int process, plugin::CallContext& ctx, int limit_ms = -1) : over_(::eventfd(0, EFD_CLOEXEC)) {
    if (!over_) sys::fail("make an event");
    thread_ = std::thread([process, limit_ms, over = over_.get(), cancel = ctx.cancel_fd()] {
      std::array<pollfd, 2> fds = {pollfd{over, POLLIN, 0}, pollfd{cancel, POLLIN, 0}};
      while (::poll(fds.data(), fds.size(), limit_ms) < 0 && errno == EINTR) {
      }
      if (fds[0].revents == 0) ::syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0);
    });
  }
  ~Attended() {
    ::eventfd_write(over_.get(), 1);
    thread_.join();
  }
  Attended(const Attended&) = delete;
  Attended& operator=(const Attended&) = delete;

 private:
  UniqueFd over_;
  std::thread thread_;
};

}  // namespace

void probe() {
  open_device();
  try {
    overlay::FsContext("fuse").set("source", "probe");
  } catch (const Error& e) {
    if (e.code() != Code::permission_denied) throw;
    throw Error(Code::permission_denied,
                "mounts of fuse-overlayfs need root here: start the runner as root, or choose another snapshotter");
  }
}

UniqueFd FuseMount::start(plugin::Host& host, const std::string& program, const MountRequest& request) {
  std::vector<UniqueFd> directories;
  plugin::Host::Spawn spawn;
  spawn.argv = {program, "-f", "-o", options_for(request, directories), "/dev/fd/" + std::to_string(device_fd)};
  // Its words wait here until somebody wants them; what does not fit is lost, and never holds it up.
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) sys::fail("make a pipe");
  words_.reset(ends[0]);
  const UniqueFd words_end(ends[1]);
  spawn.stdio[1] = spawn.stdio[2] = words_end.get();
  const auto device = open_device();
  root_ = mount_device(device.get(), !request.upper.empty());
  spawn.keep = {device.get()};
  for (const auto& directory : directories) spawn.keep.push_back(directory.get());
  return host.spawn(spawn);
}

FuseMount::FuseMount(plugin::Host& host, const std::string& program, const MountRequest& request,
                     plugin::CallContext& ctx)
    : host_(host) {
  process_ = start(host, program, request);
  const Attended attended(process_.get(), ctx, patience_ms);
  struct stat st{};
  if (::fstat(root_.get(), &st) != 0) {
    if (ctx.cancelled()) throw Error(Code::cancelled, "no one waits for the view any more");
    fail();
  }
}

bool FuseMount::ended() const { return process_ && readable(process_.get(), 0); }

// The process first: then nothing waits for its answers.
FuseMount::~FuseMount() {
  try {
    if (ended()) host_.log(plugin::LogLevel::error, reap());
  } catch (const std::exception&) {  // out of memory
  }
  sys::end_child(process_);
  root_.reset();
}

std::string FuseMount::reap() {
  siginfo_t end{};
  if (readable(process_.get(), patience_ms))
    ::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &end, WEXITED | WNOWAIT);
  sys::end_child(process_);
  root_.reset();
  std::string text = "fuse-overlayfs, which serves the files, " + described(end);
  if (const auto words = last_words(words_.get()); !words.empty()) text += ": " + words;
  return text;
}

void FuseMount::fail() { throw Error(Code::unavailable, reap()); }

void FuseMount::finish(plugin::CallContext& ctx, const std::function<void(int root)>& last_look) {
  if (ended()) fail();
  {
    const Attended attended(process_.get(), ctx);
    last_look(root_.get());
    root_.reset();  // the last use: the kernel hands over what is not yet written, then tells the process to end
    if (!readable(process_.get(), patience_ms))
      throw Error(Code::unavailable, "files of a finished step are still in use: their mount does not end");
  }
  if (ctx.cancelled()) throw Error(Code::cancelled, "no one waits for the layer any more");
  siginfo_t end{};
  ::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &end, WEXITED | WNOWAIT);
  const bool well = end.si_code == CLD_EXITED && end.si_status == 0;
  const auto text = reap();
  // A request that is being read while the kernel ends the connection (the release of a file, say) fails so; what was
  // written has been handed over before that (fs/fuse/dev.c, fuse_dev_do_read()).
  constexpr std::string_view read_at_the_end = "reading device: Software caused connection abort";
  if (!well && text.find(read_at_the_end) == std::string::npos) throw Error(Code::unavailable, text);
}

}  // namespace dagger::fuse
