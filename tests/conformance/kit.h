// tests/conformance/kit.h — what the checks of the conformance program share.
//
// A check is a promise of the plugin headers, tried on one plugin file in a process of its own. It calls expect(), and
// so says what happened instead. Everything of one check lives and dies in its process.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/fs.h"
#include "core/plugin/registry.h"

namespace dagger::conformance {

struct Options {
  std::string file, config = "{}";
  std::string dir;                        // scratch space: where the layers of a snapshotter may live
  std::string install_dir;                // of the engine: helpers of a plugin are found below it
  std::vector<std::string> refs;          // sources and secret providers: "scheme:rest" that must work
  std::vector<std::string> command;       // executors: ends with 0 and prints "conformance"
  std::vector<std::string> long_command;  // executors: runs until it is killed
  std::string rootfs;                     // local executors: a directory with the programs of the commands
  bool isolated = false;                  // run the plugin in a process of its own
  std::string only;                       // run the checks whose name contains this
};

// Thrown by a check: the promise was broken, or cannot be tried here.
struct Broken {
  std::string happened;
};
struct Skipped {
  std::string why;
};
inline void expect(bool kept, const std::string& otherwise) {
  if (!kept) throw Broken{otherwise};
}

// One plugin under test: its own state directory, its registry.
class Loaded {
 public:
  Loaded(const Options& options, const plugin::Manifest& manifest, const std::string& config);
  plugin::Registry& registry() { return registry_; }

 private:
  TempDir state_;
  Log log_;
  Spawner spawner_;
  plugin::Registry registry_;
};

class Kit {
 public:
  explicit Kit(Options options) : options(std::move(options)) {}
  std::unique_ptr<Loaded> load() const { return std::make_unique<Loaded>(options, manifest, options.config); }
  std::unique_ptr<Loaded> load(const std::string& config) const {
    return std::make_unique<Loaded>(options, manifest, config);
  }

  Options options;
  plugin::Manifest manifest;
  // Ends this process with that result, at once: for a call that does not return, which nothing can clean up after.
  std::function<void(const std::string& happened)> give_up;
};

struct Check {
  std::string name;     // "cancel.before"
  std::string promise;  // "a cancelled call returns within 2 s"
  std::string read;     // where the promise is written
  std::function<void(const Kit&)> run;
};
using Checks = std::vector<Check>;

void add_common_checks(Checks& checks);
void add_file_checks(Checks& checks);
void add_source_checks(Checks& checks);
void add_snapshotter_checks(Checks& checks);
void add_executor_checks(Checks& checks);
void add_network_checks(Checks& checks);
void add_cache_checks(Checks& checks);
void add_secret_checks(Checks& checks);

// ---- helpers ----

// What happened: "" when call returned, else "code: message". A plugin_fault breaks every promise and is rethrown as
// Broken.
std::string outcome(const std::function<void()>& call);
// The code of the error that left call; nothing when it returned.
std::optional<Code> error_of(const std::function<void()>& call);

// Calls f on 8 threads at once; the first Broken or error of any of them is thrown.
void on_8_threads(const std::function<void(int)>& f);

// Calls f with a token that is cancelled at once, and with one that is cancelled after a moment: it must return within
// 2 s, normally or with Error{cancelled}.
void expect_prompt_cancel(const Kit& kit, const std::function<void(CancelToken)>& f);

// What a plugin must leave as it found it.
struct Footprint {
  static Footprint now();
  // Empty, or what differs in after.
  std::string difference(const Footprint& after, bool threads) const;

  std::vector<std::string> fds;  // "5 socket:[1]", without those of this very look
  std::size_t threads = 0;
  std::string cwd, environment, locale, signals, mounts;
  unsigned umask = 0;
};
// fds without O_CLOEXEC but 0, 1, 2 and those in known.
std::string inheritable_fds(const std::vector<std::string>& known);

}  // namespace dagger::conformance
