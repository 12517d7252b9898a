#include "core/session/credentials.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/session/http/message.h"

namespace dagger::session {
namespace {

using nlohmann::json;

constexpr std::size_t max_answer = 1 << 20;
constexpr int helper_timeout_ms = 30'000;

// "https://index.docker.io/v1/" and "registry-1.docker.io" mean one registry.
std::string host_of(std::string_view key) {
  if (const auto scheme = key.find("://"); scheme != std::string_view::npos) key.remove_prefix(scheme + 3);
  key = key.substr(0, key.find('/'));
  if (key == "index.docker.io" || key == "registry-1.docker.io" || key == "registry.docker.io") return "docker.io";
  return std::string(key);
}

std::string text(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

const json* member(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_object() ? &*it : nullptr;
}

std::optional<link::CredentialsReply> from_entry(const json& entry) {
  link::CredentialsReply reply;
  reply.found = true;
  if (const auto token = text(entry, "identitytoken"); !token.empty()) {
    reply.secret = token;
    reply.is_token = true;
    return reply;
  }
  reply.username = text(entry, "username");
  reply.secret = text(entry, "password");
  if (const auto pair = decode_base64(text(entry, "auth")); pair && pair->find(':') != std::string::npos) {
    reply.username = pair->substr(0, pair->find(':'));
    reply.secret = pair->substr(pair->find(':') + 1);
  }
  if (reply.username.empty() && reply.secret.empty()) return std::nullopt;
  return reply;
}

// What the helper writes, until it ends or takes too long.
std::string read_answer(int fd, const CancelToken& cancel) {
  std::string out;
  char buffer[4096];
  pollfd watched[2] = {{fd, POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
  while (out.size() < max_answer && ::poll(watched, 2, helper_timeout_ms) > 0 && watched[1].revents == 0) {
    const auto got = ::read(fd, buffer, sizeof buffer);
    if (got <= 0) return out;
    out.append(buffer, static_cast<std::size_t>(got));
  }
  return {};
}

struct HelperContext {
  const Client& client;
  Spawner& spawner;
  const CancelToken& cancel;
};

std::optional<link::CredentialsReply> run_helper(void* opaque, const std::string& helper, const std::string& key) {
  const auto& context = *static_cast<HelperContext*>(opaque);
  const auto* path = context.client.variable("PATH");
  const auto program = find_program("docker-credential-" + helper, path == nullptr ? "" : *path);
  int input[2], output[2];
  if (program.empty() || helper.find('/') != std::string::npos || ::pipe2(input, O_CLOEXEC) != 0) return std::nullopt;
  UniqueFd question_end(input[0]), question(input[1]);
  if (::pipe2(output, O_CLOEXEC) != 0) return std::nullopt;
  UniqueFd answer(output[0]), answer_end(output[1]);
  write_all(question.get(), key);  // a short line: fits the pipe
  question.reset();
  SpawnRequest request;
  request.argv = {program, "get"};
  for (const auto& [name, value] : context.client.env) request.env.push_back(name + "=" + value);
  request.stdio[0] = question_end.get();
  request.stdio[1] = answer_end.get();
  const auto child = context.spawner.spawn(request);
  answer_end.reset();
  const auto document = json::parse(read_answer(answer.get(), context.cancel), nullptr, false);
  if (!document.is_object()) return std::nullopt;
  link::CredentialsReply reply;
  reply.username = text(document, "Username");
  reply.secret = text(document, "Secret");
  reply.found = !reply.secret.empty();
  if (reply.username == "<token>") {
    reply.username.clear();
    reply.is_token = true;
  }
  return reply.found ? std::optional(reply) : std::nullopt;
}

}  // namespace

link::CredentialsReply credentials_from(const std::string& config_json, const std::string& realm, AskHelper ask,
                                        void* context) {
  const json config = parse_json(config_json, "the docker configuration");
  if (!config.is_object()) throw Error(Code::corrupt_data, "the docker configuration is no JSON object");
  const auto host = host_of(realm);
  const std::string key = host == "docker.io" ? "https://index.docker.io/v1/" : host;
  if (const auto* helpers = member(config, "credHelpers"))
    for (const auto& [name, helper] : helpers->items())
      if (host_of(name) == host && helper.is_string())
        if (const auto reply = ask(context, helper.get<std::string>(), key)) return *reply;
  if (const auto store = text(config, "credsStore"); !store.empty())
    if (const auto reply = ask(context, store, key)) return *reply;
  if (const auto* auths = member(config, "auths"))
    for (const auto& [name, entry] : auths->items())
      if (host_of(name) == host && entry.is_object())
        if (const auto reply = from_entry(entry)) return *reply;
  return {};
}

link::CredentialsReply find_credentials(const Client& client, Spawner& spawner, const std::string& realm,
                                        const CancelToken& cancel) {
  const auto* dir = client.variable("DOCKER_CONFIG");
  const auto* home = client.variable("HOME");
  if (dir == nullptr && home == nullptr) return {};
  const auto file = (dir != nullptr ? *dir : *home + "/.docker") + "/config.json";
  if (!exists(file)) return {};
  HelperContext context{client, spawner, cancel};
  try {
    return credentials_from(dagger::read_file(file), realm, run_helper, &context);
  } catch (const Error& error) {
    throw Error(error).in(file);
  }
}

}  // namespace dagger::session
