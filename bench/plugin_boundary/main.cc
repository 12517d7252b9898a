// plugin_boundary — what a call of a plugin costs through its guard, inside the engine and in a process of its own, and
// how long loading 1, 10 and 50 plugins takes. Prints a table; asserts nothing.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <thread>

#include "core/base/fs.h"
#include "core/plugin/guard.h"
#include "core/plugin/isolation/isolate.h"
#include "tests/support/fake_host.h"

namespace dagger::plugin {
namespace {

using Clock = std::chrono::steady_clock;

double nanoseconds(const std::function<void()>& f) {
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

struct NoSink final : SourceSink {
  bool have(const SourceLayer&) override { return false; }
  void tar(const SourceLayer&, ByteStream&) override {}
  std::unique_ptr<Directory> directory(const SourceLayer&) override { throw Error(Code::unsupported, "none"); }
};

class Bench {
 public:
  // A copy per plugin: the dynamic linker would load one file once.
  explicit Bench(int files) {
    for (int i = 0; i < files; ++i) {
      files_.push_back(dir_.path() + "/" + std::to_string(i) + ".so");
      std::filesystem::copy_file(PLUGIN, files_.back());
    }
  }
  std::unique_ptr<Source> load(int i, bool isolated) {
    PluginChoice choice;
    choice.use = "good";
    const MakeHost make = [this](const Manifest&) {
      return std::make_unique<HostServices>(dir_.path(), BUILD_DIR, [](LogLevel, std::string_view) {}, spawner_);
    };
    const auto& file = files_.at(static_cast<std::size_t>(i));
    return guard_source(isolated ? isolation::load_isolated(file, "source", choice, make, spawner_, logs_)
                                 : load_plugin(file, "source", choice, make));
  }
  std::vector<std::unique_ptr<Source>> load_all(bool isolated) {
    std::vector<std::unique_ptr<Source>> all;
    for (int i = 0; i < static_cast<int>(files_.size()); ++i) all.push_back(load(i, isolated));
    return all;
  }

 private:
  TempDir dir_;
  std::vector<std::string> files_;
  Log log_{Level::off, STDERR_FILENO};
  Spawner spawner_;
  isolation::LogReader logs_{log_};
};

void call(Source& source, int times) {
  NoSink sink;
  testing::FakeContext context;
  const SourceRef ref{"zoo", "x", {}, ""};
  for (int i = 0; i < times; ++i) source.pin(ref, std::nullopt, sink, context);
}

void calls() {
  for (const bool isolated : {false, true}) {
    Bench bench(1);
    const auto source = bench.load(0, isolated);
    const int times = isolated ? 20'000 : 2'000'000;
    call(*source, times / 10);
    const auto one = nanoseconds([&] { call(*source, times); }) / times;
    const auto two = nanoseconds([&] {
      std::thread other([&] { call(*source, times); });
      call(*source, times);
      other.join();
    });
    std::printf("%-10s %10.0f ns per guarded pin(), %10.0f with two threads\n", isolated ? "isolated" : "inside", one,
                two / times / 2);
  }
}

void starts() {
  for (const bool isolated : {false, true}) {
    for (const int n : {1, 10, 50}) {
      Bench bench(n);
      std::vector<std::unique_ptr<Source>> all;
      const auto load = nanoseconds([&] { all = bench.load_all(isolated); });
      const auto end = nanoseconds([&] { all.clear(); });
      std::printf("%-10s %3d plugins: %8.2f ms to load, %8.2f ms to end\n", isolated ? "isolated" : "inside", n,
                  load / 1e6, end / 1e6);
    }
  }
}

}  // namespace
}  // namespace dagger::plugin

int main() {
  dagger::plugin::calls();
  dagger::plugin::starts();
}
