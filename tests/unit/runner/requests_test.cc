// What a session asks of the runner, in order, within limits, and when something is amiss.
#include "tests/support/digested_ops.h"
#include "tests/unit/runner/sessions.h"

namespace dagger::runner {
namespace {

namespace method = link::method;

const dag::Op scratch{dag::Scratch{}, {}};

dag::Op write(const dag::Op& base, std::string path, std::string data) {
  return {dag::Write{std::move(path), std::move(data), "", 0644}, {{dag::digest(base), ""}}};
}

link::PutOps put_of(const std::vector<dag::Op>& ops) {
  link::PutOps request;
  for (const auto& op : ops) request.ops.push_back(dag::encode(op));
  return request;
}

class Requests : public ConnectedSessions {
 protected:
  static Task<void> collect(Task<std::string> call, std::vector<std::string>& answers) {
    const auto at = answers.size();
    answers.emplace_back("none");
    std::string answer = "taken";
    try {
      co_await call;
    } catch (const Error& e) {
      answer = e.what();
    }
    answers[at] = answer;
  }
  dag::Op exec(std::vector<std::string> args) {
    dag::Exec fields;
    fields.args = std::move(args);
    return {fields, {{dag::digest(scratch), ""}}};
  }
  // One whose result is in the store.
  dag::Op finished_exec(std::string_view output) {
    const auto op = exec({"true"});
    dag::Graph graph("any scope");
    graph.add(testing::digested({scratch, op}));
    store::Record record;
    record.key = graph.find(dag::digest(op))->key;
    record.kind = "exec";
    record.outputs.push_back({"root", 0, {}});
    record.stdout_log = store_.put_blob(output);
    store_.put(std::move(record));
    return op;
  }
  std::string refusal(link::Peer& peer, const char* what, const std::string& request) {
    const auto error = failure(peer.call(what, request, {}));
    return error ? std::string(code_name(error->code())) + ": " + error->what() : "none";
  }
};

TEST_F(Requests, KeepTheirOrderWhenOneInTheMiddleIsBroken) {
  std::vector<dag::Op> first{scratch};
  while (first.size() < 2000) first.push_back(write(first.back(), "/" + std::to_string(first.size()), "text"));
  const std::vector<dag::Op> last{write(first.back(), "/last", "text")};
  const auto peer = session();
  std::vector<std::string> answers;
  TaskGroup puts(loop_);
  puts.spawn(collect(peer->call(method::put_ops, cbor::pack(put_of(first)), {}), answers));
  puts.spawn(collect(peer->call(method::put_ops, cbor::pack(link::PutOps{{"no op"}}), {}), answers));
  puts.spawn(collect(peer->call(method::put_ops, cbor::pack(put_of(last)), {}), answers));
  run(puts.join());
  EXPECT_EQ(answers[0], "taken");
  EXPECT_NE(answers[1], "taken");
  EXPECT_EQ(answers[2], "taken");
}

TEST_F(Requests, CountTheBytesOfAnOpOnce) {
  const auto large = write(scratch, "/f", std::string(10'000, 'x'));
  info_.op_limits.bytes = 15'000;
  const auto peer = session();
  for (int i = 0; i < 3; ++i) ask(*peer, method::put_ops, put_of({scratch, large, large}));
  EXPECT_EQ(refusal(*peer, method::put_ops, cbor::pack(put_of({write(large, "/g", std::string(10'000, 'x'))}))),
            "no_space: the steps of the session take more than 15000 bytes; put large values in files, or start "
            "another session");
}

TEST_F(Requests, CountTheOpsOfRecipesToo) {
  const std::vector<dag::Op> ops{scratch, write(scratch, "/f", std::string(10'000, 'x'))};
  {
    const auto first = session();
    ask(*first, method::put_ops, put_of(ops));
    ask(*first, method::put_recipe, link::Recipe{"id", "Directory", "body", {dag::digest(ops.back())}});
  }
  info_.op_limits.bytes = 5'000;
  EXPECT_TRUE(refusal(*session(), method::get_recipe, cbor::pack(link::RecipeId{"id"})).starts_with("no_space: "));
}

TEST_F(Requests, TakeALargeOpWithoutHoldingTheControlThread) {
  const auto peer = session();
  ask(*peer, method::put_ops, put_of({scratch, write(scratch, "/f", std::string(16 << 20, 'x'))}));
}

TEST_F(Requests, GiveLargeOutputWithoutHoldingTheControlThread) {
  constexpr std::size_t size = 24 << 20;
  const auto peer = session();
  const auto step = finished_exec(std::string(size, 'x'));
  ask(*peer, method::put_ops, put_of({scratch, step}));
  const auto reply = ask(*peer, method::exec_output, link::ExecOutputRequest{dag::digest(step)});
  EXPECT_EQ(cbor::unpack<link::ExecOutputReply>(reply).text.size(), size);
}

TEST_F(Requests, ForALogThatIsDamagedMakeItAgain) {
  const auto peer = session();
  const auto step = exec({"echo", "text"});
  ask(*peer, method::put_ops, put_of({scratch, step}));
  for (int i = 0; i < 2; ++i) {
    const auto reply = ask(*peer, method::exec_output, link::ExecOutputRequest{dag::digest(step)});
    EXPECT_EQ(cbor::unpack<link::ExecOutputReply>(reply).text, "text\n");
    store_.forget_blobs();
  }
  EXPECT_EQ(executor_.started(), 2U);
}

TEST_F(Requests, ForOutputThatIsTooLargeSayWhatToDo) {
  const auto peer = session();
  const auto step = finished_exec(std::string((48 << 20) + 1, 'x'));
  ask(*peer, method::put_ops, put_of({scratch, step}));
  EXPECT_TRUE(refusal(*peer, method::exec_output, cbor::pack(link::ExecOutputRequest{dag::digest(step)}))
                  .ends_with("is larger than 48 MiB, which is all that an answer can hold; redirect it to a file"));
}

TEST_F(Requests, ForADigestAreCalledOff) {
  store_.hold_digests();
  const auto peer = session();
  const auto step = write(scratch, "/f", "text");
  ask(*peer, method::put_ops, put_of({scratch, step}));
  const link::PathRequest request{{dag::digest(step), ""}, "/", "", true, 0, 0};
  CancelSource cancel;
  std::vector<std::string> answers;
  TaskGroup asked(loop_);
  asked.spawn(collect(peer->call(method::tree_digest, cbor::pack(request), cancel.token()), answers));
  until([&] { return store_.usage().records == 1; });
  cancel.request("enough");
  peer->close();
  run(asked.join());
  sessions_.front()->close();
  until([&] { return gone_ == 1; });
  store_.digest_now();
}

TEST_F(Requests, NameAPlaceWithinReason) {
  const auto peer = session();
  const link::SyncRequest request{Digest::of("x"), std::string(5000, 'x'), "host directory x"};
  EXPECT_EQ(refusal(*peer, method::sync_local, cbor::pack(request)),
            "invalid_argument: the name of a host directory's place has 5000 bytes, over the limit of 4096");
}

}  // namespace
}  // namespace dagger::runner
