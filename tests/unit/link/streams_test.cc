#include <thread>

#include "tests/unit/link/fixture.h"

namespace dagger::link {
namespace {

class Streams : public LinkTest {
 protected:
  // One stream, seen from both ends.
  void open() {
    connect_pair();
    server_->serve_stream("s", [this](std::string request, std::shared_ptr<Stream> s, CancelToken over) {
      request_ = std::move(request);
      theirs_ = std::move(s);
      over_ = std::move(over);
    });
    start();
    mine_ = client_->open("s", "which");
    until([&] { return theirs_ != nullptr; });
  }
  ~Streams() override {
    mine_.reset();
    theirs_.reset();
  }
  static Code code_of(const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& e) {
      return e.code();
    }
    return Code::internal;
  }
  static std::string read_to_end(Stream& s) {
    std::string all;
    for (std::string part; !(part = s.read()).empty();) all += part;
    return all;
  }

  std::shared_ptr<Stream> mine_, theirs_;
  std::string request_;
  CancelToken over_;
};

TEST_F(Streams, CarryBytesBothWays) {
  open();
  EXPECT_EQ(request_, "which");
  mine_->write("to the server");
  mine_->finish();
  EXPECT_EQ(read_to_end(*theirs_), "to the server");
  theirs_->write("and back");
  theirs_->finish();
  EXPECT_EQ(read_to_end(*mine_), "and back");
}

TEST_F(Streams, CarryMoreThanAnyWindow) {
  open();
  std::string sent(20 << 20, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761U >> 13);
  std::thread writer([&] {
    for (std::size_t at = 0; at < sent.size(); at += 100'001) mine_->write(std::string_view(sent).substr(at, 100'001));
    mine_->finish();
  });
  const std::string got = read_to_end(*theirs_);
  writer.join();
  EXPECT_TRUE(got == sent);
}

TEST_F(Streams, StopAWriterWhoseReaderDoesNotRead) {
  open();
  std::atomic<std::size_t> written = 0;
  std::thread writer([&] {
    try {
      const std::string part(1000, 'w');
      for (;;) {
        mine_->write(part);
        written += part.size();
      }
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::cancelled);
    }
  });
  while (written < (64 << 10) - 1000) std::this_thread::yield();
  // A call passes by the stream that is stuck.
  server_->serve("late", [](std::string r, CancelToken t) { return echo(std::move(r), t); });
  EXPECT_EQ(run(client_->call("late", "x", {})), "echo x");
  EXPECT_LE(written, std::size_t(64 << 10));
  mine_->cancel();
  writer.join();
}

TEST_F(Streams, OfAnUnknownMethodFailWhenRead) {
  connect_pair();
  start();
  auto s = client_->open("nothing", "");
  std::atomic<bool> done = false;
  Code code{};
  std::thread reader([&] {
    code = code_of([&] { s->read(); });
    done = true;
    loop_.post([] {});
  });
  until([&] { return done.load(); });
  reader.join();
  EXPECT_EQ(code, Code::unsupported);
}

TEST_F(Streams, PassOnTheErrorOfAReset) {
  open();
  theirs_->reset(Error(Code::no_space, "full"));
  EXPECT_EQ(code_of([&] { mine_->read(); }), Code::no_space);
  EXPECT_EQ(code_of([&] { mine_->write("x"); }), Code::no_space);
}

TEST_F(Streams, AreResetWhenDroppedUnfinished) {
  open();
  mine_->write("partial");
  mine_.reset();
  EXPECT_EQ(code_of([&] {
              while (!theirs_->read().empty()) {
              }
            }),
            Code::cancelled);
}

TEST_F(Streams, DeliverWhatWasFinishedBeforeTheDrop) {
  open();
  mine_->write("everything");
  mine_->finish();
  mine_.reset();
  EXPECT_EQ(read_to_end(*theirs_), "everything");
  EXPECT_EQ(code_of([&] {
              for (;;) theirs_->write("x");
            }),
            Code::cancelled);
}

TEST_F(Streams, FailWhenTheLinkDies) {
  open();
  std::thread reader([&] { EXPECT_EQ(code_of([&] { mine_->read(); }), Code::unavailable); });
  server_.reset();
  reader.join();
  EXPECT_EQ(code_of([&] { theirs_->write("x"); }), Code::unavailable);
}

TEST_F(Streams, OutliveTheirPeerAndTransport) {
  open();
  server_.reset();
  client_.reset();
  near_.reset();
  EXPECT_EQ(code_of([&] { mine_->write("x"); }), Code::unavailable);
}

TEST_F(Streams, TellTheServingSideThatTheyWereReset) {
  open();
  EXPECT_FALSE(over_.cancelled());
  mine_->reset(Error(Code::cancelled, "nobody reads"));
  until([&] { return over_.cancelled(); });
}

TEST_F(Streams, TellTheServingSideThatTheLinkDied) {
  open();
  client_->close();
  until([&] { return over_.cancelled(); });
}

TEST_F(Streams, WakeABlockedReaderOnCancel) {
  open();
  std::thread reader([&] { EXPECT_EQ(code_of([&] { mine_->read(); }), Code::cancelled); });
  mine_->cancel();
  reader.join();
}

TEST_F(Streams, RunBesideEachOther) {
  connect_pair();
  std::vector<std::shared_ptr<Stream>> theirs;
  server_->serve_stream("s",
                        [&](std::string, std::shared_ptr<Stream> s, CancelToken) { theirs.push_back(std::move(s)); });
  start();
  constexpr int n = 8;
  std::vector<std::shared_ptr<Stream>> mine;
  for (int i = 0; i < n; ++i) mine.push_back(client_->open("s", ""));
  until([&] { return theirs.size() == n; });
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (std::size_t i = 0; i < n; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 100; ++k) mine[i]->write(std::string(20'000, static_cast<char>('a' + i)));
      mine[i]->finish();
    });
    threads.emplace_back(
        [&, i] { good += read_to_end(*theirs[i]) == std::string(2'000'000, static_cast<char>('a' + i)); });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(good, n);
}

}  // namespace
}  // namespace dagger::link
