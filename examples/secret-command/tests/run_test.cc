#include "run.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace secret_command {
namespace {

using dagger::Code;
using dagger::Error;
using dagger::UniqueFd;
using dagger::plugin::LogLevel;

// Starts children as the engine does, as far as a command can tell.
class TestHost final : public dagger::plugin::Host {
 public:
  void log(LogLevel, std::string_view) noexcept override {}
  std::string_view state_dir() const noexcept override { return "/nonexistent"; }
  std::string_view install_dir() const noexcept override { return "/nonexistent"; }
  UniqueFd spawn(const Spawn& request) override {
    std::vector<char*> argv, env;
    for (const auto& a : request.argv) argv.push_back(const_cast<char*>(a.c_str()));
    for (const auto& e : request.env) env.push_back(const_cast<char*>(e.c_str()));
    argv.push_back(nullptr);
    env.push_back(nullptr);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setsid();
      for (int i = 0; i < 3; ++i) ::dup2(request.stdio[i] >= 0 ? request.stdio[i] : null, i);
      ::execve(argv[0], argv.data(), env.data());
      ::_exit(127);
    }
    ::close(null);
    return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  }
};

class Context final : public dagger::plugin::CallContext {
 public:
  bool cancelled() const noexcept override {
    eventfd_t value = 0;
    if (::eventfd_read(event_.get(), &value) != 0) return false;
    ::eventfd_write(event_.get(), value);
    return true;
  }
  int cancel_fd() const noexcept override { return event_.get(); }
  void log(LogLevel, std::string_view) noexcept override {}
  void progress(std::string_view, std::int64_t, std::int64_t) noexcept override {}
  std::optional<dagger::plugin::Credentials> credentials(std::string_view) override { return std::nullopt; }
  UniqueFd open_socket(std::string_view) override { return UniqueFd(); }
  UniqueFd open_secret(std::string_view) override { return UniqueFd(); }
  void cancel() { ::eventfd_write(event_.get(), 1); }

 private:
  const UniqueFd event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

class Run : public ::testing::Test {
 protected:
  std::string value(const std::string& script) {
    const auto fd = run(host_, shell(script), limits_, ctx_);
    EXPECT_EQ(::write(fd.get(), "x", 1), -1) << "it is not sealed";
    EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
    std::string out(2 << 20, '\0');
    const auto n = ::read(fd.get(), out.data(), out.size());
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
  }
  std::string error(const std::string& script) {
    try {
      run(host_, shell(script), limits_, ctx_);
      return "none";
    } catch (const Error& e) {
      return std::string(dagger::code_name(e.code())) + ": " + e.what();
    }
  }
  void expect_no_children() { EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left"; }

  static Command shell(const std::string& script) { return {"test", {"/bin/sh", "-c", script}, {"FOO=bar"}}; }
  TestHost host_;
  Context ctx_;
  Limits limits_;
};

TEST_F(Run, GivesWhatTheCommandPrintsWithoutItsLastNewline) {
  EXPECT_EQ(value("echo one; echo two; echo not this >&2"), "one\ntwo");
  EXPECT_EQ(value("printf 'a\\n\\n'"), "a\n");
  EXPECT_EQ(value("printf a"), "a");
  EXPECT_EQ(value("true"), "");
  limits_.cut_newline = false;
  EXPECT_EQ(value("echo one"), "one\n");
  expect_no_children();
}

TEST_F(Run, GivesTheEnvironmentThatItWasTold) { EXPECT_EQ(value("echo $FOO; env | grep -c FOO"), "bar\n1"); }

TEST_F(Run, TakesAValueAsLargeAsTheLimitAndNotMore) {
  limits_.bytes = 200'000;
  EXPECT_EQ(value("head -c 200000 /dev/zero").size(), 200'000U);
  EXPECT_EQ(error("head -c 200001 /dev/zero"),
            "invalid_argument: secret cmd:test (/bin/sh): the command prints more than 200000 bytes; raise the setting "
            "max_bytes, if this is the secret");
  EXPECT_EQ(error("yes").substr(0, 17), "invalid_argument:");
  expect_no_children();
}

TEST_F(Run, TellsTheLastLinesOfStderrButNothingOfStdout) {
  EXPECT_EQ(error("echo value; echo no login >&2; echo log in first >&2; exit 3"),
            "unavailable: secret cmd:test (/bin/sh): ended with 3: no login; log in first");
  EXPECT_EQ(error("kill -9 $$"), "unavailable: secret cmd:test (/bin/sh): was ended by signal 9");
  EXPECT_LT(error("yes | head -c 1000000 >&2; exit 1").size(), 700U);
}

TEST_F(Run, NamesAProgramThatIsNotThere) {
  try {
    run(host_, {"gone", {"/nonexistent/program"}, {}}, limits_, ctx_);
    FAIL() << "it ran";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::not_found);
    EXPECT_NE(e.message().find("/nonexistent/program"), std::string::npos);
  }
}

TEST_F(Run, DoesNotWaitForWhatTheCommandLeavesBehind) {
  const pid_t left = std::stoi(value("sleep 100 & echo $!"));
  EXPECT_EQ(::kill(left, 0), 0);
  ::kill(left, SIGKILL);
}

// The writing end of a pipe is held by every process that the command starts: its end shows that all are gone.
TEST_F(Run, EndsTheCommandAndWhatItStartedWhenItIsCancelledOrTakesTooLong) {
  for (const bool cancelled : {true, false}) {
    char path[] = "/tmp/secret-command-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    const std::string fifo = std::string(path) + "/alive";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const UniqueFd alive(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    Context ctx;
    Limits limits;
    if (!cancelled) limits.timeout = std::chrono::seconds(1);
    std::thread canceller([&] {  // as soon as the command runs
      char c = 0;
      while (cancelled && ::read(alive.get(), &c, 1) != 1) std::this_thread::yield();
      if (cancelled) ctx.cancel();
    });
    std::string how;
    try {
      run(host_, shell("exec 9>" + fifo + "; sleep 1000 | cat & echo >&9; echo waits >&2; sleep 1000"), limits, ctx);
    } catch (const Error& e) {
      how = std::string(dagger::code_name(e.code())) + ": " + e.what();
    }
    canceller.join();
    EXPECT_EQ(how, cancelled ? "cancelled: secret cmd:test (/bin/sh): cancelled"
                             : "unavailable: secret cmd:test (/bin/sh): takes longer than 1 s (the setting "
                               "timeout_seconds): waits");
    ::fcntl(alive.get(), F_SETFL, 0);  // blocks until the last writer is gone
    char rest[16];
    while (::read(alive.get(), rest, sizeof rest) > 0) {
    }
    ::unlink(fifo.c_str());
    ::rmdir(path);
  }
  expect_no_children();
}

TEST(LastLines, AreThoseThatFit) {
  EXPECT_EQ(last_lines("", 100), "");
  EXPECT_EQ(last_lines("one\n\n  \ntwo\n", 100), "one; two");
  EXPECT_EQ(last_lines("one\ntwo\nthree", 11), "two; three");
  EXPECT_EQ(last_lines("a very long line", 4), "line");
  EXPECT_EQ(last_lines("b\x1b[1m\xff", 100), "b?[1m?");
}

}  // namespace
}  // namespace secret_command
