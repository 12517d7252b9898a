#include "core/session/image_config.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "core/base/json.h"

namespace dagger::session {
namespace {

using nlohmann::json;

[[noreturn]] void malformed(const char* member) {
  throw Error(Code::corrupt_data, std::string("the image's configuration has a malformed \"") + member + "\"");
}

const json* member(const json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string text(const json& object, const char* name) {
  const json* found = member(object, name);
  if (found == nullptr) return {};
  if (!found->is_string()) malformed(name);
  return found->get<std::string>();
}

std::vector<std::string> texts(const json& object, const char* name) {
  const json* found = member(object, name);
  std::vector<std::string> all;
  if (found == nullptr) return all;
  if (!found->is_array()) malformed(name);
  for (const auto& item : *found) {
    if (!item.is_string()) malformed(name);
    all.push_back(item.get<std::string>());
  }
  return all;
}

std::vector<std::string> keys(const json& object, const char* name) {
  const json* found = member(object, name);
  std::vector<std::string> all;
  if (found == nullptr) return all;
  if (!found->is_object()) malformed(name);
  for (const auto& [key, value] : found->items()) all.push_back(key);
  return all;
}

Pairs environment(const json& config) {
  Pairs env;
  for (const auto& entry : texts(config, "Env")) {
    const auto equals = entry.find('=');
    if (equals == 0 || entry.empty()) continue;  // no process can be given it, and the image works elsewhere
    set_pair(env, entry.substr(0, equals), equals == std::string::npos ? "" : entry.substr(equals + 1));
  }
  return env;
}

Pairs label_pairs(const json& config) {
  const json* found = member(config, "Labels");
  Pairs labels;
  if (found == nullptr) return labels;
  if (!found->is_object()) malformed("Labels");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) malformed("Labels");
    labels.emplace_back(key, value.get<std::string>());
  }
  return labels;
}

bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool name_part(char c) { return name_start(c) || (c >= '0' && c <= '9'); }
bool special(char c) { return std::string_view("*#$@!?-0123456789").find(c) != std::string_view::npos; }

}  // namespace

ParsedImage parse_image_config(std::string_view source) {
  const json image = parse_json(source, "the image's configuration");
  if (!image.is_object()) throw Error(Code::corrupt_data, "the image's configuration is no JSON object");
  ParsedImage parsed;
  const auto os = text(image, "os");
  const auto architecture = text(image, "architecture");
  const auto variant = text(image, "variant");
  if (!os.empty() && !architecture.empty())
    parsed.platform = os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
  const json* config = member(image, "config");
  if (config == nullptr) return parsed;
  if (!config->is_object()) malformed("config");
  parsed.config = {.env = environment(*config),
                   .labels = label_pairs(*config),
                   .exposed_ports = keys(*config, "ExposedPorts"),
                   .volumes = keys(*config, "Volumes"),
                   .entrypoint = texts(*config, "Entrypoint"),
                   .default_args = texts(*config, "Cmd"),
                   .user = text(*config, "User"),
                   .workdir = text(*config, "WorkingDir")};
  return parsed;
}

ImageConfig merge_image(ImageConfig container, ImageConfig image) {
  for (auto& [name, value] : image.env) set_pair(container.env, name, std::move(value));
  for (auto& [name, value] : image.labels) set_pair(container.labels, name, std::move(value));
  for (auto& port : image.exposed_ports)
    if (std::ranges::find(container.exposed_ports, port) == container.exposed_ports.end())
      container.exposed_ports.push_back(std::move(port));
  image.env = std::move(container.env);
  image.labels = std::move(container.labels);
  image.exposed_ports = std::move(container.exposed_ports);
  return image;
}

const std::string* find_pair(const Pairs& pairs, std::string_view name) {
  const auto it = std::ranges::find(pairs, name, [](const auto& pair) { return std::string_view(pair.first); });
  return it == pairs.end() ? nullptr : &it->second;
}

void set_pair(Pairs& pairs, std::string_view name, std::string value) {
  const auto it = std::ranges::find(pairs, name, [](const auto& pair) { return std::string_view(pair.first); });
  if (it == pairs.end())
    pairs.emplace_back(std::string(name), std::move(value));
  else
    it->second = std::move(value);
}

void remove_pair(Pairs& pairs, std::string_view name) {
  std::erase_if(pairs, [name](const auto& pair) { return pair.first == name; });
}

std::string expand_variables(std::string_view input, const Pairs& env) {
  std::string out;
  const auto add = [&](std::string_view name) {
    if (const auto* value = find_pair(env, name)) out += *value;
  };
  for (std::size_t i = 0; i < input.size(); ++i) {
    if (input[i] != '$' || i + 1 == input.size()) {
      out += input[i];
    } else if (input[i + 1] == '{') {
      const auto close = input.find('}', i + 2);
      if (close == std::string_view::npos) {
        ++i;  // "${" that nothing closes disappears
        continue;
      }
      add(input.substr(i + 2, close - i - 2));
      i = close;
    } else if (special(input[i + 1])) {
      add(input.substr(++i, 1));
    } else if (name_start(input[i + 1])) {
      std::size_t end = i + 2;
      while (end < input.size() && name_part(input[end])) ++end;
      add(input.substr(i + 1, end - i - 1));
      i = end - 1;
    } else {
      out += '$';
    }
  }
  return out;
}

std::string normalize_platform(std::string_view platform) {
  constexpr std::array<std::string_view, 7> systems = {"linux",  "windows", "darwin", "freebsd",
                                                       "netbsd", "openbsd", "wasip1"};
  constexpr std::array<std::pair<std::string_view, std::string_view>, 16> architectures = {{{"amd64", "amd64"},
                                                                                            {"x86_64", "amd64"},
                                                                                            {"x86-64", "amd64"},
                                                                                            {"arm64", "arm64"},
                                                                                            {"aarch64", "arm64"},
                                                                                            {"arm", "arm"},
                                                                                            {"armhf", "arm"},
                                                                                            {"armel", "arm"},
                                                                                            {"386", "386"},
                                                                                            {"i386", "386"},
                                                                                            {"ppc64le", "ppc64le"},
                                                                                            {"s390x", "s390x"},
                                                                                            {"riscv64", "riscv64"},
                                                                                            {"mips64le", "mips64le"},
                                                                                            {"loong64", "loong64"},
                                                                                            {"wasm", "wasm"}}};
  const auto unknown = [&] {
    return Error(Code::invalid_argument, "platform \"" + std::string(platform.substr(0, 100)) +
                                             "\": unknown operating system or architecture: write it like linux/amd64");
  };
  const auto first_slash = platform.find('/');
  std::string_view system = "linux";
  std::string_view rest = platform;
  if (first_slash != std::string_view::npos) {
    system = platform.substr(0, first_slash);
    rest = platform.substr(first_slash + 1);
  }
  if (std::ranges::find(systems, system) == systems.end()) throw unknown();
  const auto second_slash = rest.find('/');
  const auto architecture = rest.substr(0, second_slash);
  const auto known = std::ranges::find(architectures, architecture, [](const auto& entry) { return entry.first; });
  if (known == architectures.end()) throw unknown();
  std::string result = std::string(system) + "/" + std::string(known->second);
  if (second_slash == std::string_view::npos) return result;
  const auto variant = rest.substr(second_slash + 1);
  if (variant.empty() || variant.find('/') != std::string_view::npos) throw unknown();
  return known->second == "arm64" && variant == "v8" ? result : result + "/" + std::string(variant);
}

}  // namespace dagger::session
