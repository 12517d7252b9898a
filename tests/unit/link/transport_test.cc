#include <sys/stat.h>
#include <sys/un.h>

#include <thread>

#include "core/link/frame.h"
#include "core/link/handshake.h"
#include "tests/unit/link/fixture.h"

namespace dagger::link {
namespace {

using Links = LinkTest;

bool has(const std::optional<Error>& e, std::string_view text) {
  return e && std::string_view(e->what()).find(text) != std::string_view::npos;
}

TEST_F(Links, OverAUnixSocket) {
  const TempDir dir;
  const std::string path = dir.path() + "/new/runner.sock";
  connect("unix://" + path);
  struct stat st{};
  ASSERT_EQ(::lstat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
  ASSERT_EQ(::lstat((dir.path() + "/new").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700U);
  EXPECT_EQ(client_->other().scope, "uid:" + std::to_string(::getuid()));
  EXPECT_EQ(client_->other().software, "server 2.0");
  listener_.reset();
  EXPECT_FALSE(exists(path));
  server_->serve("echo", [](std::string r, CancelToken t) { return echo(std::move(r), t); });
  start();
  EXPECT_EQ(run(client_->call("echo", "stays", {})), "echo stays");  // open peers stay
}

TEST_F(Links, RefuseToReplaceALiveSocketButNotAStaleOne) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  connect("unix://" + path);
  Transport::ListenOptions again;
  again.address = "unix://" + path;
  try {
    (void)far_->listen(again, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::unavailable);
  }
  // A socket that nobody listens on any more.
  const std::string stale = dir.path() + "/stale", kept = dir.path() + "/kept";
  again.address = "unix://" + stale;
  {
    auto first = far_->listen(again, {});
    ASSERT_EQ(::rename(stale.c_str(), kept.c_str()), 0);
  }
  ASSERT_EQ(::rename(kept.c_str(), stale.c_str()), 0);
  const auto second = far_->listen(again, {});
  EXPECT_TRUE(exists(stale));
}

TEST_F(Links, LeaveAPathAloneThatIsNoSocketOrNoLongerTheirs) {
  const TempDir dir;
  const std::string path = dir.path() + "/file";
  write_file_atomically(path, "precious");
  Transport::ListenOptions o;
  o.address = "unix://" + path;
  EXPECT_THROW((void)far_->listen(o, {}), Error);
  EXPECT_EQ(read_file(path), "precious");
  o.address = "unix://" + dir.path() + "/s";
  auto listener = far_->listen(o, {});
  write_file_atomically(dir.path() + "/s", "another's");
  listener.reset();
  EXPECT_EQ(read_file(dir.path() + "/s"), "another's");
}

TEST_F(Links, SayThatNobodyListens) {
  const TempDir dir;
  const auto e = failure(near_->connect("unix://" + dir.path() + "/none", options(), {}));
  ASSERT_TRUE(e);
  EXPECT_EQ(e->code(), Code::unavailable);
  EXPECT_TRUE(has(e, dir.path() + "/none"));
  const auto tcp = failure(near_->connect("tcp://127.0.0.1:1", options(), {}));
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->code(), Code::unavailable);
  EXPECT_EQ(failure(near_->connect("http://x", options(), {}))->code(), Code::invalid_argument);
}

TEST_F(Links, OverTcpWithAToken) {
  Transport::ListenOptions o;
  o.token = "secret";
  o.token_name = "ci";
  connect("tcp://127.0.0.1:0", options("secret"), o);
  EXPECT_EQ(server_->other().scope, "token:ci");
  server_->serve("echo", [](std::string r, CancelToken t) { return echo(std::move(r), t); });
  start();
  EXPECT_EQ(run(client_->call("echo", "tcp", {})), "echo tcp");

  const auto wrong = failure(near_->connect(listener_->address(), options("guess"), {}));
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->code(), Code::permission_denied);
  EXPECT_TRUE(has(wrong, "the token is wrong"));
  const auto none = failure(near_->connect(listener_->address(), options(), {}));
  ASSERT_TRUE(none);
  EXPECT_EQ(none->code(), Code::permission_denied);
}

TEST_F(Links, OverTcpWithoutATokenOnlyWhereAllowed) {
  Transport::ListenOptions o;
  o.address = "tcp://127.0.0.1:0";
  EXPECT_THROW((void)far_->listen(o, {}), Error);
  o.allow_insecure = true;
  o.address = "tcp://0.0.0.0:0";
  EXPECT_THROW((void)far_->listen(o, {}), Error);
  connect("tcp://127.0.0.1:0", options(), o);
  EXPECT_EQ(server_->other().scope, "loopback");
  // A client that knows a token does not talk to who cannot prove it.
  EXPECT_EQ(failure(near_->connect(listener_->address(), options("secret"), {}))->code(), Code::permission_denied);
}

TEST_F(Links, OverAPairOfPipes) {
  int up[2], down[2];
  ASSERT_EQ(::pipe2(up, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(down, O_CLOEXEC), 0);
  Transport::ListenOptions o;
  o.address = "fd://" + std::to_string(up[0]) + "," + std::to_string(down[1]);
  listener_ = far_->listen(o, [this](std::unique_ptr<Peer> p) { server_ = std::move(p); });
  client_ = run(near_->connect("fd://" + std::to_string(down[0]) + "," + std::to_string(up[1]), options(), {}));
  until([&] { return server_ != nullptr; });
  server_->serve("echo", [](std::string r, CancelToken t) { return echo(std::move(r), t); });
  std::optional<std::string> closed;
  server_->on_closed([&](std::string r) { closed = std::move(r); });
  start();
  const std::string big(1 << 20, 'p');
  EXPECT_EQ(run(client_->call("echo", big, {})), "echo " + big);
  client_.reset();
  until([&] { return closed.has_value(); });
  EXPECT_EQ(*closed, "");
}

TEST_F(Links, OnASocketThatListensAlready) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_THROW((void)far_->listen_fd(UniqueFd(::dup(fd.get())), {}, {}), Error);
  struct sockaddr_un {
    sa_family_t family;
    char path[108];
  } a{AF_UNIX, {}};
  path.copy(a.path, sizeof a.path);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  ASSERT_EQ(::listen(fd.get(), 5), 0);
  listener_ = far_->listen_fd(std::move(fd), {}, [this](std::unique_ptr<Peer> p) { server_ = std::move(p); });
  EXPECT_EQ(listener_->address(), "unix://" + path);
  connect("unused");
  listener_.reset();
  EXPECT_TRUE(exists(path));  // who made it removes it
}

TEST_F(Links, CanBeGivenUp) {
  auto [a, b] = socket_pair();  // nobody answers at a
  CancelSource source;
  std::thread later([&] { source.request("enough"); });
  const auto e = failure(near_->connect(fd_address(std::move(b)), options(), source.token()));
  later.join();
  ASSERT_TRUE(e);
  EXPECT_EQ(e->code(), Code::cancelled);
}

TEST_F(Links, EndWithTheTransportWhileSomebodyConnects) {
  auto [a, b] = socket_pair();
  std::optional<Error> error;
  struct Caller {
    static Task<void> go(Transport& t, std::string address, std::optional<Error>& e) {
      try {
        co_await t.connect(std::move(address), {}, {});
      } catch (const Error& x) {
        e = x;
      }
    }
  };
  TaskGroup group(loop_);
  group.spawn(Caller::go(*near_, fd_address(std::move(b)), error));
  near_.reset();
  until([&] { return error.has_value(); });
  EXPECT_EQ(error->code(), Code::cancelled);
  drain();
}

// A raw end that shakes hands and then does what it likes.
class Raw {
 public:
  explicit Raw(UniqueFd fd, Handshake::Role role = Handshake::Role::client) : fd_(std::move(fd)) {
    Hello hello;
    hello.min_version = hello.max_version = protocol_version;
    handshake_.emplace(role, hello, "");
    ::fcntl(fd_.get(), F_SETFL, 0);
  }
  void shake_hands() {
    while (!handshake_->done() && !handshake_->failure()) {
      write_all(fd_.get(), handshake_->output());
      char buffer[4096];
      const auto n = ::read(fd_.get(), buffer, sizeof buffer);
      if (n <= 0) break;
      handshake_->feed({buffer, static_cast<std::size_t>(n)});
    }
    write_all(fd_.get(), handshake_->output());
  }
  UniqueFd fd_;
  std::optional<Handshake> handshake_;
};

class HostileLinks : public LinkTest {
 protected:
  void accept_raw(PeerOptions peer = options()) {
    auto [a, b] = socket_pair();
    Transport::ListenOptions o;
    o.address = fd_address(std::move(a));
    o.peer = std::move(peer);
    listener_ = far_->listen(std::move(o), [this](std::unique_ptr<Peer> p) { server_ = std::move(p); });
    raw_ = std::make_unique<Raw>(std::move(b));
    raw_->shake_hands();
    until([&] { return server_ != nullptr; });
    server_->on_closed([this](std::string r) { closed_ = std::move(r); });
    server_->start();
  }
  std::unique_ptr<Raw> raw_;
  std::optional<std::string> closed_;
};

TEST_F(HostileLinks, AreClosedOnGarbageWithAReason) {
  accept_raw();
  write_all(raw_->fd_.get(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  until([&] { return closed_.has_value(); });
  EXPECT_NE(closed_->find("malformed frame"), std::string::npos) << *closed_;
  const std::string rest = read_all(raw_->fd_.get(), 1 << 20);
  EXPECT_NE(rest.find("malformed frame"), std::string::npos);  // the other end is told
}

TEST_F(HostileLinks, AreClosedOnATruncatedFrame) {
  accept_raw();
  const auto head = encode(FrameHeader{Type::call, false, 100, 1});
  write_all(raw_->fd_.get(), {head.data(), head.size()});
  raw_->fd_.reset();
  until([&] { return closed_.has_value(); });
  EXPECT_NE(*closed_, "");
}

TEST_F(HostileLinks, AreClosedOnAnOversizedFrame) {
  accept_raw();
  const auto head = encode(FrameHeader{Type::call, false, accepted_payload + 1, 1});
  write_all(raw_->fd_.get(), {head.data(), head.size()});
  until([&] { return closed_.has_value(); });
  EXPECT_NE(closed_->find("payload"), std::string::npos);
}

TEST_F(HostileLinks, AreDeadWithoutASignOfLife) {
  auto o = options();
  o.dead_after = std::chrono::milliseconds(50);
  accept_raw(o);
  auto stream = server_->open("s", "");
  std::atomic<bool> failed = false;
  std::thread reader([&] {
    try {
      stream->read();
    } catch (const Error& e) {
      failed = e.code() == Code::unavailable;
    }
  });
  EXPECT_EQ(failure(server_->call("x", "", {}))->code(), Code::unavailable);
  until([&] { return closed_.has_value(); });
  reader.join();
  EXPECT_TRUE(failed);
  EXPECT_NE(closed_->find("no sign of life"), std::string::npos);
}

TEST_F(HostileLinks, SurviveAPeerThatOnlyPings) {
  auto mine = options();
  mine.dead_after = std::chrono::milliseconds(150);
  Transport::ListenOptions theirs;
  theirs.peer.dead_after = std::chrono::milliseconds(150);
  connect_pair(mine, theirs);
  bool lost = false;
  server_->on_closed([&](std::string) { lost = true; });
  start();
  bool later = false;
  const auto timer = loop_.after(std::chrono::milliseconds(220), [&] { later = true; });
  until([&] { return later || lost; });
  EXPECT_FALSE(lost);
}

UniqueFd connect_raw(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un a{AF_UNIX, {}};
  path.copy(a.sun_path, sizeof a.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) throw_errno("connect");
  return fd;
}

TEST_F(HostileLinks, DoNotDisturbAListenerWithNonsenseBeforeTheHandshake) {
  const TempDir dir;
  connect("unix://" + dir.path() + "/s");
  const auto fd = connect_raw(dir.path() + "/s");
  write_all(fd.get(), "GET / HTTP/1.1\r\n\r\n");
  char c[256];
  while (::read(fd.get(), c, sizeof c) > 0) {
  }
  server_.reset();
  connect("unused");
  EXPECT_NE(server_, nullptr);
}

TEST_F(HostileLinks, DoNotKeepOthersOutBySayingNothing) {
  const TempDir dir;
  connect("unix://" + dir.path() + "/s");
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(connect_raw(dir.path() + "/s"));
  server_.reset();
  connect("unused");
  EXPECT_NE(server_, nullptr);
  // The oldest had to go.
  char c[4096];
  while (::read(silent.front().get(), c, sizeof c) > 0) {
  }
}

TEST_F(HostileLinks, EndWhenANotificationCannotBeSent) {
  accept_raw();
  server_->notify("n", std::string(65 << 20, 'x'));
  until([&] { return closed_.has_value(); });
  EXPECT_NE(closed_->find("larger than a message"), std::string::npos) << *closed_;
}

}  // namespace
}  // namespace dagger::link
