#include "core/session/secrets.h"

#include "core/base/fs.h"

namespace dagger::session {
namespace {

constexpr std::size_t max_secret_bytes = 4 << 20;

// A secret plugin's view of the client. Lives for one call, on a pool thread.
class Context final : public plugin::SecretContext {
 public:
  Context(const Client& client, CancelToken cancel) : client_(client), cancel_(std::move(cancel)) {}
  bool cancelled() const noexcept override { return cancel_.cancelled(); }
  int cancel_fd() const noexcept override { return cancel_.fd(); }
  void log(plugin::LogLevel, std::string_view) noexcept override {}
  void progress(std::string_view, std::int64_t, std::int64_t) noexcept override {}
  std::optional<plugin::Credentials> credentials(std::string_view) override { return std::nullopt; }
  UniqueFd open_socket(std::string_view) override {
    throw Error(Code::unsupported, "a secret provider has no sockets of the client");
  }
  UniqueFd open_secret(std::string_view) override {
    throw Error(Code::unsupported, "a secret provider has no other secrets of the client");
  }
  std::optional<std::string> prompt(std::string_view, bool) override { return std::nullopt; }
  std::optional<std::string> client_env(std::string_view name) override {
    const auto* value = client_.variable(name);
    return value == nullptr ? std::nullopt : std::optional(*value);
  }
  std::string client_cwd() override { return client_.workdir; }

 private:
  const Client& client_;
  CancelToken cancel_;
};

std::size_t scheme_end(const std::string& uri) {
  const auto colon = uri.find(':');
  return colon == std::string::npos || colon == 0 ? std::string::npos : colon;
}

}  // namespace

void Secrets::check_uri(const std::string& uri) {
  if (scheme_end(uri) == std::string::npos)
    throw Error(Code::invalid_argument, "a secret's URI names the plugin that resolves it, like env://NAME");
}

Task<std::string> Secrets::value(std::string name, CancelToken cancel) {
  if (const auto at = values_.find(name); at != values_.end()) co_return at->second;
  if (scheme_end(name) == std::string::npos)
    throw Error(Code::not_found, "secret \"" + name + "\" has no value in this session: call setSecret first");
  auto start = [this, name](CancelToken token) { return resolve(name, std::move(token)); };
  co_return co_await resolved_.get(name, std::move(start), std::move(cancel));
}

Task<std::string> Secrets::resolve(std::string uri, CancelToken cancel) {
  const auto colon = scheme_end(uri);
  const auto scheme = uri.substr(0, colon);
  auto& provider = plugins_.secret(scheme);
  auto open = [&] {
    Context context(client_, cancel);
    const auto fd = provider.open(scheme, std::string_view(uri).substr(colon + 1), context);
    return read_all(fd.get(), max_secret_bytes);
  };
  co_return co_await on_pool(loop_, pool_, std::move(open));
}

}  // namespace dagger::session
