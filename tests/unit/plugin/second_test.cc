// The second implementations, as the solver's tests use them: in this program. The conformance program covers the rest.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "core/base/digest.h"
#include "core/base/fs.h"
#include "tests/support/fake_host.h"
#include "tests/support/second/copy_snapshotter.h"
#include "tests/support/second/remote_executor.h"

namespace dagger::testing {
namespace {

class Text final : public plugin::ByteStream {
 public:
  explicit Text(std::string text) : text_(std::move(text)) {}
  std::size_t read(void* buffer, std::size_t size) override {
    const auto n = text_.copy(static_cast<char*>(buffer), size, at_);
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

// Layers by digest, in memory: all that a remote executor sees of the store.
class Transfer final : public plugin::LayerTransfer {
 public:
  std::unique_ptr<plugin::ByteStream> read(const plugin::Layer& layer, std::string_view) override {
    return std::make_unique<Text>(layers.at(layer.id));
  }
  plugin::Layer write(plugin::ByteStream& stream, std::string_view) override {
    std::string bytes;
    char buffer[512];
    while (const auto n = stream.read(buffer, sizeof buffer)) bytes.append(buffer, n);
    const auto id = Digest::of(bytes).str();
    layers[id] = bytes;
    return {id, {{plugin::form::remote, ""}}};
  }
  std::map<std::string, std::string> layers;
};

class Remote : public ::testing::Test {
 protected:
  struct Outcome {
    plugin::ExecStatus status;
    std::string out;
    std::vector<plugin::ExecOutput> outputs;
  };
  Outcome run(const std::vector<plugin::Layer>& root, std::vector<std::string> args) {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    UniqueFd read(fds[0]), write(fds[1]);
    plugin::ExecRequest request;
    request.root = root;
    request.args = std::move(args);
    auto running = executor.start(request, {-1, write.get(), -1}, transfer, ctx);
    write.reset();
    Outcome o;
    o.status = running->wait(ctx);
    o.outputs = running->outputs(ctx);
    o.out = read_all(read.get(), 4096);
    return o;
  }
  FakeHost host;
  FakeContext ctx;
  Transfer transfer;
  RemoteExecutor executor{host, "{}"};
};

TEST_F(Remote, GivesOutputsByDigestThatTheNextExecSees) {
  const auto first = run({}, {"write", "/a/file", "one"});
  ASSERT_EQ(first.outputs.size(), 1U);
  EXPECT_EQ(first.outputs[0].name, "root");
  const auto second = run({first.outputs[0].layer}, {"append", "/a/file", "two"});
  const std::vector<plugin::Layer> stack = {first.outputs[0].layer, second.outputs[0].layer};
  EXPECT_EQ(run(stack, {"cat", "/a/file"}).out, "onetwo");
  EXPECT_TRUE(run(stack, {"cat", "/a/file"}).outputs[0].unchanged);
  const auto removed = run(stack, {"rm", "/a/file"});
  EXPECT_EQ(run({stack[0], stack[1], removed.outputs[0].layer}, {"cat", "/a/file"}).status.code, 1);
}

TEST_F(Remote, SaysWhyACommandCannotStart) {
  const auto o = run({}, {"make"});
  EXPECT_EQ(o.status.kind, plugin::ExitKind::not_started);
  EXPECT_EQ(o.status.message, "exec: \"make\": not found in $PATH");
}

TEST(CopySnapshotter, SealsRemovalsAsWhiteouts) {
  if (::geteuid() != 0) GTEST_SKIP() << "trusted marks need root";
  FakeHost host;
  FakeContext ctx;
  CopySnapshotter snapshotter(host, "{}");
  TempDir dir;
  const auto step = [&](std::vector<plugin::Layer> stack, const std::string& name,
                        const std::function<void(int)>& change) {
    plugin::ViewRequest request;
    request.stack = std::move(stack);
    request.writable = true;
    request.workspace = dir.path() + "/" + name;
    make_dirs(request.workspace);
    auto view = snapshotter.open(request, ctx);
    change(view->root_fd());
    return view->seal(ctx);
  };
  const auto base = step({}, "one", [](int root) {
    write_all(open_at(root, "gone", O_WRONLY | O_CREAT, 0644).get(), "x");
    write_all(open_at(root, "kept", O_WRONLY | O_CREAT, 0644).get(), "y");
  });
  const auto next = step({{"one", {{base.form, base.path}}}}, "two", [](int root) { ::unlinkat(root, "gone", 0); });
  struct stat st{};
  ASSERT_EQ(::lstat((next.path + "/gone").c_str(), &st), 0);
  EXPECT_TRUE(S_ISCHR(st.st_mode) && st.st_rdev == 0);
  EXPECT_FALSE(exists(next.path + "/kept"));
  EXPECT_EQ(next.entries, 2U);  // the root directory and the whiteout
}

}  // namespace
}  // namespace dagger::testing
