// tests/unit/link/fixture.h — two ends of a link in one process: each with a transport of its own, both on one loop.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>

#include <boost/asio/io_context.hpp>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/pool.h"
#include "core/link/peer.h"

namespace dagger::link {

inline std::pair<UniqueFd, UniqueFd> socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) throw_errno("socketpair");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

inline std::string fd_address(UniqueFd fd) {
  const std::string n = std::to_string(fd.release());
  return "fd://" + n + "," + n;
}

class LinkTest : public ::testing::Test {
 protected:
  LinkTest() : null_(open_file("/dev/null", O_WRONLY)), log_(Level::off, null_.get()) {}
  ~LinkTest() override {
    client_.reset();
    server_.reset();
    listener_.reset();
    drain();
    for (auto* t : {&near_, &far_}) t->reset();
  }

  static PeerOptions options(std::string token = {}) {
    PeerOptions o;
    o.software = "test 1.0";
    o.token = std::move(token);
    return o;
  }

  // Serves the loop until f() holds.
  template <class F>
  void until(F f) {
    while (!f()) {
      loop_.io().restart();
      loop_.io().run_one_for(std::chrono::seconds(10));
    }
  }
  void drain() {
    loop_.io().restart();
    loop_.io().poll();
  }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    std::exception_ptr error;
    TaskGroup group(loop_);
    group.spawn(keep(std::move(task), value, error));
    until([&] { return value || error; });
    if (error) std::rethrow_exception(error);
    return std::move(*value);
  }
  void run(Task<void> task) {
    Unit unused = run(with_unit(std::move(task)));
    (void)unused;
  }

  template <class T>
  std::optional<Error> failure(Task<T> task) {
    try {
      (void)run(std::move(task));
    } catch (const Error& e) {
      return e;
    } catch (const DetailedError& e) {
      return e.error();
    }
    return std::nullopt;
  }

  // Connects near_ to a listener of far_; neither peer is started.
  void connect(const std::string& listen_address, PeerOptions mine = options(), Transport::ListenOptions theirs = {}) {
    theirs.address = listen_address;
    theirs.peer.software = "server 2.0";
    if (!listener_)
      listener_ = far_->listen(std::move(theirs), [this](std::unique_ptr<Peer> p) { server_ = std::move(p); });
    client_ = run(near_->connect(listener_->address(), std::move(mine), {}));
    until([&] { return server_ != nullptr; });
  }
  void connect_pair(PeerOptions mine = options(), Transport::ListenOptions theirs = {}) {
    auto [a, b] = socket_pair();
    theirs.address = fd_address(std::move(a));
    listener_ = far_->listen(std::move(theirs), [this](std::unique_ptr<Peer> p) { server_ = std::move(p); });
    client_ = run(near_->connect(fd_address(std::move(b)), std::move(mine), {}));
    until([&] { return server_ != nullptr; });
  }
  void start() {
    server_->start();
    client_->start();
  }

  Loop loop_;
  UniqueFd null_;
  Log log_;
  std::unique_ptr<Transport> near_ = std::make_unique<Transport>(loop_, log_);
  std::unique_ptr<Transport> far_ = std::make_unique<Transport>(loop_, log_);
  std::unique_ptr<Transport::Listener> listener_;
  std::unique_ptr<Peer> client_, server_;

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& value, std::exception_ptr& error) {
    try {
      value.emplace(co_await task);
    } catch (...) {
      error = std::current_exception();
    }
  }
  static Task<Unit> with_unit(Task<void> task) {
    co_await task;
    co_return Unit{};
  }
};

inline Task<std::string> echo(std::string request, CancelToken) { co_return "echo " + request; }

}  // namespace dagger::link
