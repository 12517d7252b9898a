#include <poll.h>
#include <sys/stat.h>

#include "tests/conformance/kit.h"
#include "tests/support/fake_host.h"

namespace dagger::conformance {
namespace {

using namespace dagger::plugin;
constexpr const char* network_h = "dagger/plugin/network.h";

struct Bench {
  explicit Bench(const Kit& kit)
      : loaded(kit.load()), network(loaded->registry().network(loaded->registry().network_classes().at(0))) {}
  std::unique_ptr<Loaded> loaded;
  Network& network;
  dagger::testing::FakeContext ctx;
};

void attaches(const Kit& kit) {
  Bench b(kit);
  const auto attachment = b.network.attach({"exec1", "box"}, b.ctx);
  attachment->resolv_conf();
  attachment->hosts();
  if (const int lost = attachment->lost_fd(); lost >= 0) {
    pollfd fd{lost, POLLIN, 0};
    expect(::poll(&fd, 1, 0) == 0, "lost_fd() is readable though nothing was lost");
  }
}

void separate(const Kit& kit) {
  Bench b(kit);
  const auto one = b.network.attach({"exec1", "one"}, b.ctx), two = b.network.attach({"exec2", "two"}, b.ctx);
  if (one->netns() != Namespace::joined) throw Skipped{"it makes no namespaces"};
  struct stat a{}, c{}, own{};
  expect(
      ::fstat(one->netns_fd(), &a) == 0 && ::fstat(two->netns_fd(), &c) == 0 && ::stat("/proc/self/ns/net", &own) == 0,
      "netns_fd() is no open fd");
  expect(a.st_ino != own.st_ino && a.st_dev == own.st_dev, "netns_fd() is not another network namespace");
  expect(a.st_ino != c.st_ino, "two execs share one namespace");
}

void threads(const Kit& kit) {
  Bench b(kit);
  on_8_threads([&](int i) {
    dagger::testing::FakeContext ctx;
    for (int round = 0; round < 3; ++round) b.network.attach({"exec" + std::to_string(i), "box"}, ctx);
  });
}

void cancelled(const Kit& kit) {
  Bench b(kit);
  expect_prompt_cancel(kit, [&](CancelToken token) {
    dagger::testing::FakeContext ctx(token);
    b.network.attach({"exec1", "box"}, ctx);
  });
}

void footprint(const Kit& kit) {
  Bench b(kit);
  b.network.attach({"exec1", "box"}, b.ctx);
  const auto before = Footprint::now();
  for (int i = 0; i < 5; ++i) b.network.attach({"exec" + std::to_string(i), "box"}, b.ctx);
  const auto difference = before.difference(Footprint::now(), true);
  expect(difference.empty(), "after five attachments " + difference);
}

}  // namespace

void add_network_checks(Checks& checks) {
  checks.push_back(
      {"network.attach", "an attachment is complete when attach() returns, and not lost", network_h, attaches});
  checks.push_back(
      {"network.separate", "each exec has a namespace of its own, other than the engine's", network_h, separate});
  checks.push_back({"network.threads", "8 threads attach and detach at once", network_h, threads});
  checks.push_back({"network.cancel", "a cancelled attach() returns within 2 s, by Error{cancelled}",
                    "dagger/plugin/plugin.h", cancelled});
  checks.push_back(
      {"network.footprint", "a destroyed attachment leaves no process, fd or mount behind", network_h, footprint});
}

}  // namespace dagger::conformance
