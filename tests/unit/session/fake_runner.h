// tests/unit/session/fake_runner.h — a runner in memory: answers the calls of a session with what the test says, and
// records what it was asked.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/dag/op.h"
#include "core/link/messages/messages.h"
#include "core/link/peer.h"

namespace dagger::session {

// A stream whose bytes the test wrote before.
class FakeStream final : public link::Stream {
 public:
  explicit FakeStream(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string read() override { return std::exchange(bytes_, {}); }
  void write(std::string_view bytes) override { written += bytes; }
  void finish() override { finished = true; }
  void reset(const Error& why) override { failure = why.what(); }
  void cancel() override {}
  std::string written, failure;
  bool finished = false;

 private:
  std::string bytes_;
};

class FakeRunner final : public link::Peer {
 public:
  explicit FakeRunner(Loop& loop) : loop_(loop) {}

  // What it answers.
  std::map<std::string, link::PinReply> pins;  // by location
  std::map<std::string, link::Stat> stats;     // by path
  std::map<std::string, std::string> files;    // by path
  std::vector<link::Entry> listing;
  std::string out = "hi\n";
  std::optional<link::ExecFailure> failure;
  std::string exported_tar;
  bool hang = false;  // solve never answers
  std::size_t message_bytes = 64 << 20;
  std::optional<OneShot<Unit>> refusal;  // when an ops.put of more than that is refused; at once if there is none

  // What it was asked.
  std::map<Digest, dag::Op> ops;
  std::map<std::string, link::Recipe> recipes;
  std::vector<std::string> calls;
  std::vector<link::SyncRequest> syncs;
  std::string cancelled;  // the method whose caller went away

  const dag::Op& op(const Digest& digest) const { return ops.at(digest); }
  template <class T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (const auto& [digest, value] : ops)
      if (const auto* fields = std::get_if<T>(&value.fields)) found.push_back(*fields);
    return found;
  }

  void serve(std::string method, link::Handler handler) override { handlers_[std::move(method)] = std::move(handler); }
  void serve_stream(std::string, link::StreamHandler) override {}
  void serve_notify(std::string, Function<void(std::string)>) override {}
  void start() override {}
  void notify(std::string, std::string) override {}
  std::size_t backlog() const override { return 0; }
  const link::Identity& other() const override { return identity_; }
  void on_closed(Function<void(std::string)>) override {}
  void close() override {}
  Task<void> join() override { co_return; }

  // As the runner calls the session.
  Task<std::string> ask_session(std::string method, std::string request) {
    return handlers_.at(method)(std::move(request), CancelToken());
  }

  Task<std::string> call(std::string method, std::string request, CancelToken cancel) override {
    calls.push_back(method);
    OneShot<Unit> turn(loop_);  // an answer takes at least one turn of the loop
    loop_.post([turn] { turn.set({}); });
    co_await turn;
    if (method == link::method::put_ops && request.size() > message_bytes) {
      if (refusal) co_await *refusal;
      throw Error(Code::no_space, "the message is too large");
    }
    if (hang && (method == link::method::solve || method == link::method::exec_output)) {
      OneShot<Unit> never(loop_);
      const auto subscription = cancel.on_cancel([this, never, method] {
        cancelled = method;
        never.fail(std::make_exception_ptr(Error(Code::cancelled, "cancelled")));
      });
      co_await never;
    }
    co_return answer(method, request);
  }

  std::shared_ptr<link::Stream> open(std::string method, std::string request) override {
    calls.push_back(method);
    const auto wanted = cbor::unpack<link::PathRequest>(request);
    known(wanted.target.op);
    return std::make_shared<FakeStream>(method == link::method::read_file ? files.at(wanted.path) : exported_tar);
  }

 private:
  void known(const Digest& digest) const {
    const auto at = ops.find(digest);
    if (at == ops.end()) throw Error(Code::internal, "the session names an op that it never put");
    for (const auto& input : at->second.inputs)
      if (!ops.contains(input.op)) throw Error(Code::internal, "the session put an op without its inputs");
  }

  std::string answer(const std::string& method, const std::string& request) {
    namespace m = link::method;
    if (method == m::info) return cbor::pack(link::Info{"0.1.0", "fake", "linux/amd64"});
    if (method == m::put_ops) {
      for (const auto& encoded : cbor::unpack<link::PutOps>(request).ops) {
        if (!ops.emplace(Digest::of(encoded), dag::decode(encoded)).second)
          throw Error(Code::internal, "the session put an op twice");
        known(Digest::of(encoded));
      }
      return cbor::pack(link::Empty{});
    }
    if (method == m::pin) {
      const auto wanted = cbor::unpack<link::PinRequest>(request);
      const auto at = pins.find(wanted.location);
      if (at == pins.end()) throw Error(Code::not_found, "no source for " + wanted.scheme + ":" + wanted.location);
      return cbor::pack(at->second);
    }
    if (method == m::put_recipe) {
      const auto recipe = cbor::unpack<link::Recipe>(request);
      for (const auto& op : recipe.ops) known(op);
      recipes[recipe.id] = recipe;
      return cbor::pack(link::Empty{});
    }
    if (method == m::get_recipe) {
      const auto at = recipes.find(cbor::unpack<link::RecipeId>(request).id);
      if (at == recipes.end()) throw Error(Code::not_found, "id unknown or expired");
      return cbor::pack(at->second);
    }
    if (method == m::sync_local) {
      syncs.push_back(cbor::unpack<link::SyncRequest>(request));
      return cbor::pack(link::Empty{});
    }
    if (method == m::solve) {
      known(cbor::unpack<link::Target>(request).op);
      fail_if_told();
      return cbor::pack(link::SolveReply{7});
    }
    if (method == m::exec_output) {
      known(cbor::unpack<link::ExecOutputRequest>(request).op);
      fail_if_told();
      return cbor::pack(link::ExecOutputReply{0, out});
    }
    const auto wanted = cbor::unpack<link::PathRequest>(request);
    known(wanted.target.op);
    if (method == m::entries || method == m::glob) return cbor::pack(link::Entries{listing});
    if (method == m::tree_digest) return cbor::pack(link::Name{"sha256:00"});
    if (method == m::stat) {
      const auto at = stats.find(wanted.path);
      return cbor::pack(at == stats.end() ? link::Stat{} : at->second);
    }
    throw Error(Code::unsupported, "the fake runner does not know " + method);
  }
  void fail_if_told() const {
    if (failure) throw link::DetailedError(Error(Code::exec_failed, "the process failed"), cbor::pack(*failure));
  }

  Loop& loop_;
  link::Identity identity_{"uid:0", "dagger 0.1.0", {}};
  std::map<std::string, link::Handler> handlers_;
};

}  // namespace dagger::session
