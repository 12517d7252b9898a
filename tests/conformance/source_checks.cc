#include <fcntl.h>
#include <sys/stat.h>

#include <mutex>
#include <set>

#include "tests/conformance/kit.h"
#include "tests/support/fake_host.h"

namespace dagger::conformance {
namespace {

using namespace dagger::plugin;
constexpr const char* source_h = "dagger/plugin/source.h";

SourceRef to_ref(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) throw Error(Code::invalid_argument, "--ref wants SCHEME:LOCATION, found " + text);
  return {text.substr(0, colon), text.substr(colon + 1), {}, "linux/amd64"};
}

Source& source_of(Loaded& loaded) {
  const auto schemes = loaded.registry().source_schemes();
  expect(!schemes.empty(), "schemes() is empty");
  return loaded.registry().source(schemes[0]);
}

std::vector<SourceRef> refs_of(const Kit& kit) {
  std::vector<SourceRef> refs;
  for (const auto& text : kit.options.refs) refs.push_back(to_ref(text));
  if (refs.empty()) throw Skipped{"no --ref was given"};
  return refs;
}

// Keeps what is delivered, and checks the order of calls.
class KitSink final : public SourceSink {
 public:
  explicit KitSink(std::string dir) : dir_(std::move(dir)) {}
  bool have(const SourceLayer&) override { return false; }
  void tar(const SourceLayer& layer, ByteStream& stream) override {
    char buffer[32768];
    std::int64_t total = 0;
    while (const auto n = stream.read(buffer, sizeof buffer)) total += static_cast<std::int64_t>(n);
    expect(layer.size < 0 || total == layer.size,
           "a layer of " + std::to_string(layer.size) + " bytes was delivered as " + std::to_string(total));
    delivered(layer.id);
  }
  std::unique_ptr<Directory> directory(const SourceLayer& layer) override {
    return std::make_unique<Filled>(*this, layer.id);
  }
  std::set<std::string> ids() const {
    const std::lock_guard lock(mutex_);
    return ids_;
  }

 private:
  class Filled final : public Directory {
   public:
    Filled(KitSink& sink, std::string id)
        : sink_(sink), id_(std::move(id)), dir_(sink.dir_), fd_(open_file(dir_.path(), O_RDONLY | O_DIRECTORY)) {}
    int fd() const noexcept override { return fd_.get(); }
    void done() override { sink_.delivered(id_); }

   private:
    KitSink& sink_;
    std::string id_;
    TempDir dir_;
    UniqueFd fd_;
  };
  void delivered(const std::string& id) {
    const std::lock_guard lock(mutex_);
    ids_.insert(id);
  }

  std::string dir_;
  mutable std::mutex mutex_;
  std::set<std::string> ids_;
};

void schemes(const Kit& kit) {
  auto loaded = kit.load();
  for (const auto& s : loaded->registry().source_schemes())
    expect(!s.empty() && s.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+.-") == std::string::npos,
           "\"" + s + "\" is no scheme (lower case letters, digits, '+', '.', '-')");
  source_of(*loaded);
}

void hostile_locations(const Kit& kit) {
  auto loaded = kit.load();
  auto& source = source_of(*loaded);
  KitSink sink(kit.options.dir);
  for (const auto& location : {std::string(), std::string("../../etc/passwd"), std::string(5000, 'a'),
                               std::string("a\nb"), std::string("a\0b", 3)}) {
    CancelSource soon;  // a location that looks like a host may be looked up
    dagger::testing::FakeContext ctx(soon.token());
    soon.request("conformance");
    outcome([&] { source.pin({loaded->registry().source_schemes()[0], location, {}, ""}, std::nullopt, sink, ctx); });
  }
}

void cancel(const Kit& kit) {
  auto loaded = kit.load();
  auto refs = kit.options.refs.empty()
                  ? std::vector<SourceRef>{{loaded->registry().source_schemes().at(0), "//127.0.0.1:1/x", {}, ""}}
                  : refs_of(kit);
  for (const auto& ref : refs)
    expect_prompt_cancel(kit, [&](CancelToken token) {
      dagger::testing::FakeContext ctx(token);
      KitSink sink(kit.options.dir);
      try {
        loaded->registry().source(ref.scheme).pin(ref, std::nullopt, sink, ctx);
      } catch (const Error& e) {
        if (!kit.options.refs.empty() || e.code() == Code::cancelled || e.code() == Code::plugin_fault) throw;
      }  // without --ref the reference is made up and may fail at once
    });
}

void deterministic(const Kit& kit) {
  const auto refs = refs_of(kit);
  auto loaded = kit.load();
  for (const auto& ref : refs) {
    auto& source = loaded->registry().source(ref.scheme);
    dagger::testing::FakeContext first_ctx;
    KitSink first_sink(kit.options.dir);
    const auto first = source.pin(ref, std::nullopt, first_sink, first_ctx);
    on_8_threads([&](int i) {
      dagger::testing::FakeContext ctx;
      KitSink sink(kit.options.dir);
      const auto again = source.pin(ref, i % 2 == 0 ? std::nullopt : std::optional(first.pin), sink, ctx);
      expect(again.pin.digest == first.pin.digest,
             "the same reference has the digests " + first.pin.digest + " and " + again.pin.digest);
    });
  }
}

void fetches(const Kit& kit) {
  const auto refs = refs_of(kit);
  for (const auto& ref : refs) {
    auto pinning = kit.load();
    dagger::testing::FakeContext ctx;
    KitSink sink(kit.options.dir);
    const auto result = pinning->registry().source(ref.scheme).pin(ref, std::nullopt, sink, ctx);
    pinning.reset();
    auto loaded = kit.load();  // a pin is valid in another process, long after
    for (const auto& layer : result.layers) {
      if (sink.ids().count(layer.id) == 0)
        loaded->registry().source(ref.scheme).fetch(ref, result.pin, layer, sink, ctx);
      expect(sink.ids().count(layer.id) == 1, "fetch() returned without delivering the layer " + layer.id);
    }
  }
}

void fetch_footprint(const Kit& kit) {
  const auto refs = refs_of(kit);
  auto loaded = kit.load();
  const auto use = [&] {
    for (const auto& ref : refs) {
      auto& source = loaded->registry().source(ref.scheme);
      dagger::testing::FakeContext ctx;
      KitSink sink(kit.options.dir);
      const auto result = source.pin(ref, std::nullopt, sink, ctx);
      for (const auto& layer : result.layers) source.fetch(ref, result.pin, layer, sink, ctx);
    }
  };
  use();
  const auto before = Footprint::now();
  for (int i = 0; i < 5; ++i) use();
  const auto difference = before.difference(Footprint::now(), true);
  expect(difference.empty(), "after five more fetches " + difference);
}

}  // namespace

void add_source_checks(Checks& checks) {
  checks.push_back({"source.schemes", "schemes() names at least one scheme, in lower case", source_h, schemes});
  checks.push_back({"source.hostile-locations", "whatever the location is, only dagger::Error leaves pin()", source_h,
                    hostile_locations});
  checks.push_back(
      {"source.cancel", "a cancelled pin() returns within 2 s, by Error{cancelled}", "dagger/plugin/plugin.h", cancel});
  checks.push_back({"source.deterministic",
                    "equal references have equal pins, on 8 threads at once, with and without the last pin", source_h,
                    deterministic});
  checks.push_back({"source.fetch", "fetch() delivers every layer of a pin, also when another process made the pin",
                    source_h, fetches});
  checks.push_back({"source.footprint", "fetching again and again leaves no fd, thread or mount behind",
                    "dagger/plugin/plugin.h", fetch_footprint});
}

}  // namespace dagger::conformance
