#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/runner/config/config.h"

namespace dagger::runner {
namespace {

using nlohmann::json;
using plugin::PluginChoice;

constexpr const char* masked = "***";

// A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
std::string quoted(const std::string& text) {
  auto quoted = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  for (auto at = quoted.find('\x7f'); at != std::string::npos; at = quoted.find('\x7f', at))
    quoted.replace(at, 1, "\\u007F");
  return quoted;
}

bool is_secret_key(std::string key) {
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* word : {"token", "secret", "password", "credential", "private_key"})
    if (key.find(word) != std::string::npos) return true;
  return false;
}

// An inline TOML value. Depth is bounded by the parser that made the value.
std::string inline_toml(const json& value) {
  std::string text;
  if (value.is_object()) {
    for (const auto& [key, v] : value.items()) {
      const auto shown = is_secret_key(key) && v.is_string() ? quoted(masked) : inline_toml(v);
      text += (text.empty() ? "" : ", ") + quoted(key) + " = " + shown;
    }
    return "{ " + text + " }";
  }
  if (value.is_array()) {
    for (const auto& v : value) text += (text.empty() ? "" : ", ") + inline_toml(v);
    return "[" + text + "]";
  }
  return value.is_string() ? quoted(value.get<std::string>()) : value.dump();
}

std::string inline_texts(const std::vector<std::string>& all) { return inline_toml(json(all)); }

class Writer {
 public:
  explicit Writer(const Config& config) : config_(config) {}

  // value: TOML. Left out when empty.
  void line(const std::string& section, const char* key, const std::string& value) {
    const auto origin = config_.origins.find(section.empty() ? key : section + "." + key);
    out_ += std::string(key) + " = " + value + "  # " + (origin == config_.origins.end() ? "default" : origin->second) +
            "\n";
  }
  void text(const std::string& section, const char* key, const std::string& value) {
    if (!value.empty()) line(section, key, quoted(value));
  }
  void header(const std::string& text) { out_ += "\n" + text + "\n"; }

  void choice(const std::string& header_text, const PluginChoice& c, const char* claims) {
    out_ += "\n" + header_text + "  # " + c.origin + "\nuse = " + quoted(c.use) + "\n";
    if (!c.file.empty()) out_ += "file = " + quoted(c.file) + "\n";
    if (!c.sha256.empty()) out_ += "sha256 = " + quoted(c.sha256) + "\n";
    if (c.isolation != plugin::Isolation::by_place)
      out_ +=
          std::string("isolation = ") + (c.isolation == plugin::Isolation::process ? "\"process\"\n" : "\"none\"\n");
    if (claims != nullptr && !c.claims.empty()) out_ += std::string(claims) + " = " + inline_texts(c.claims) + "\n";
    auto settings = json::parse(c.settings);
    if (!config_.registries.empty() && c.use == "oci") settings.erase("registries");  // shown once, under [registries]
    if (!settings.empty()) out_ += "settings = " + inline_toml(settings) + "\n";
  }
  std::string take() { return std::move(out_); }

 private:
  const Config& config_;
  std::string out_;
};

std::string duration_text(std::chrono::seconds s) {
  return quoted(s.count() == 0 ? "0" : std::to_string(s.count()) + "s");
}

std::string octal(unsigned mode) {
  std::string digits;
  for (int shift = 9; shift >= 0; shift -= 3) digits += static_cast<char>('0' + ((mode >> shift) & 7));
  return digits;
}

void write_registries(Writer& w, const Config& c) {
  for (const auto& [host, r] : c.registries) {
    const auto origin = c.origins.find("registries." + host);
    w.header("[registries." + quoted(host) + "]" + (origin == c.origins.end() ? "" : "  # " + origin->second));
    const auto section = "registries." + host;
    if (!r.mirrors.empty()) w.line(section, "mirrors", inline_texts(r.mirrors));
    if (r.plain_http) w.line(section, "plain_http", *r.plain_http ? "true" : "false");
    w.text(section, "ca", r.ca);
  }
}

}  // namespace

std::string show_config(const Config& c) {
  Writer w(c);
  w.header("# file: " + (c.file.empty() ? "none, all defaults" : c.file));
  w.line("", "plugin_dirs", inline_texts(c.plugin_dirs));
  w.text("", "state_dir", c.state_dir);
  w.text("", "runner_host", c.runner_host);
  w.text("", "default_network", c.default_network);
  w.choice("[snapshotter]", c.snapshotter, nullptr);
  w.choice("[executor]", c.executor, nullptr);
  for (const auto& [name, network] : c.networks) w.choice("[network." + quoted(name) + "]", network, nullptr);
  for (const auto& source : c.sources) w.choice("[[source]]", source, "schemes");
  for (const auto& cache : c.caches) w.choice("[[cache]]", cache, nullptr);
  for (const auto& secret : c.secrets) w.choice("[[secret]]", secret, "schemes");
  write_registries(w, c);
  w.header("[listen]");
  w.line("listen", "addresses", inline_texts(c.listen.addresses));
  w.line("listen", "socket_mode", quoted(octal(c.listen.socket_mode)));
  w.text("listen", "socket_group", c.listen.socket_group);
  w.text("listen", "token", c.listen.token.empty() ? "" : masked);
  w.line("listen", "allow_loopback_without_token", c.listen.allow_loopback_without_token ? "true" : "false");
  w.header("[parallelism]");
  w.line("parallelism", "execs", std::to_string(c.parallel_execs));
  w.line("parallelism", "io", std::to_string(c.parallel_io));
  w.header("[runner]");
  w.line("runner", "idle_timeout", duration_text(c.idle_timeout));
  w.header("[log]");
  w.text("log", "level", c.log_level);
  w.text("log", "file", c.log_file);
  if (!c.sdk_version.empty()) {
    w.header("[sdk]");
    w.text("sdk", "default_version", c.sdk_version);
  }
  return w.take().substr(1);
}

}  // namespace dagger::runner
