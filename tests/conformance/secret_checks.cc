#include "tests/conformance/kit.h"

namespace dagger::conformance {
namespace {

using namespace dagger::plugin;
constexpr const char* secret_h = "dagger/plugin/secret_provider.h";

// A client where every variable is set and somebody types, or one with neither.
class Client final : public SecretContext {
 public:
  explicit Client(bool answers, CancelToken token = {}) : answers_(answers), token_(std::move(token)) {}
  bool cancelled() const noexcept override { return token_.cancelled(); }
  int cancel_fd() const noexcept override { return token_.fd(); }
  void log(LogLevel, std::string_view line) noexcept override { logged += line; }
  void progress(std::string_view what, std::int64_t, std::int64_t) noexcept override { logged += what; }
  std::optional<Credentials> credentials(std::string_view) override { return std::nullopt; }
  UniqueFd open_socket(std::string_view id) override { throw Error(Code::not_found, "no socket " + std::string(id)); }
  UniqueFd open_secret(std::string_view id) override { throw Error(Code::not_found, "no secret " + std::string(id)); }
  std::optional<std::string> prompt(std::string_view, bool) override { return answer(); }
  std::optional<std::string> client_env(std::string_view) override { return answer(); }
  std::string client_cwd() override { return "/"; }
  std::string logged;

 private:
  std::optional<std::string> answer() const {
    return answers_ ? std::optional<std::string>("conformance-value") : std::nullopt;
  }
  bool answers_;
  CancelToken token_;
};

struct Ref {
  std::string scheme, rest;
};

std::vector<Ref> refs_of(const Kit& kit) {
  std::vector<Ref> refs;
  for (const auto& text : kit.options.refs) {
    const auto colon = text.find(':');
    if (colon == std::string::npos) throw Error(Code::invalid_argument, "--ref wants SCHEME:REST, found " + text);
    refs.push_back({text.substr(0, colon), text.substr(colon + 1)});
  }
  if (refs.empty()) throw Skipped{"no --ref was given"};
  return refs;
}

void schemes(const Kit& kit) {
  auto loaded = kit.load();
  expect(!loaded->registry().secret_schemes().empty(), "schemes() is empty");
}

void opens(const Kit& kit) {
  const auto refs = refs_of(kit);
  auto loaded = kit.load();
  on_8_threads([&](int) {
    for (const auto& ref : refs) {
      Client client(true);
      const auto fd = loaded->registry().secret(ref.scheme).open(ref.scheme, ref.rest, client);
      const auto value = read_all(fd.get(), 1 << 20);
      expect(client.logged.find(value) == std::string::npos || value.empty(), "the value was logged");
    }
  });
}

void nobody(const Kit& kit) {
  auto loaded = kit.load();
  for (const auto& scheme : loaded->registry().secret_schemes())
    for (const auto& rest :
         {std::string("//no-such-secret"), std::string(), std::string("a\0b", 3), std::string(5000, 'a')}) {
      Client client(false);
      expect(error_of([&] { loaded->registry().secret(scheme).open(scheme, rest, client); }).has_value(),
             "\"" + scheme + ":" + rest.substr(0, 40) + "\" has a value though nobody knows it");
    }
}

void cancelled(const Kit& kit) {
  auto loaded = kit.load();
  const auto scheme = loaded->registry().secret_schemes().at(0);
  const auto ref = kit.options.refs.empty() ? Ref{scheme, "//NAME"} : refs_of(kit)[0];
  expect_prompt_cancel(kit, [&](CancelToken token) {
    Client client(true, token);
    loaded->registry().secret(ref.scheme).open(ref.scheme, ref.rest, client);
  });
}

void footprint(const Kit& kit) {
  const auto refs = refs_of(kit);
  auto loaded = kit.load();
  const auto known = Footprint::now().fds;
  const auto use = [&] {
    Client client(true);
    for (const auto& ref : refs) {
      const auto fd = loaded->registry().secret(ref.scheme).open(ref.scheme, ref.rest, client);
      const auto inherited = inheritable_fds(known);
      expect(inherited.empty(), "this fd has no O_CLOEXEC: " + inherited);
    }
  };
  use();
  const auto before = Footprint::now();
  for (int i = 0; i < 20; ++i) use();
  const auto difference = before.difference(Footprint::now(), true);
  expect(difference.empty(), "after 20 secrets " + difference);
}

}  // namespace

void add_secret_checks(Checks& checks) {
  checks.push_back({"secret.schemes", "schemes() names at least one scheme", secret_h, schemes});
  checks.push_back({"secret.open",
                    "a secret is a sealed memfd at 0, on 8 threads at once, and its value is never logged", secret_h,
                    opens});
  checks.push_back(
      {"secret.nobody", "an unknown secret, or one that nobody answers for, is an Error", secret_h, nobody});
  checks.push_back({"secret.cancel", "a cancelled open() returns within 2 s, by Error{cancelled}",
                    "dagger/plugin/plugin.h", cancelled});
  checks.push_back({"secret.footprint", "secrets leave no fd behind; their fds have O_CLOEXEC",
                    "dagger/plugin/plugin.h", footprint});
}

}  // namespace dagger::conformance
