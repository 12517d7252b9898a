#include "core/session/generation.h"

#include <algorithm>
#include <array>

namespace dagger::session {

std::optional<graphql::Version> generation_by_headers(std::string_view user_agent, std::string_view host, bool traced) {
  // node-fetch 3, of the Node SDK since 0.13; version 2 of it says "node-fetch/1.0 (...)".
  if (user_agent == "node-fetch") return recent_generation;
  if (!user_agent.starts_with("Go-http-client/")) return std::nullopt;
  // The Go SDK hands on the trace that `dagger run` begins since 0.11; that one also says its version.
  if (traced) return recent_generation;
  // So it calls a session that it started itself, with a label that says its version; early ones know no label.
  if (host == "dagger") return early_generation;
  return std::nullopt;
}

std::optional<graphql::Version> generation_by_question(std::string_view user_agent) {
  static constexpr std::array<std::string_view, 4> http_clients = {"python-httpx/", "node-fetch", "Bun/", "Deno/"};
  const bool sdk = std::ranges::any_of(http_clients, [&](auto prefix) { return user_agent.starts_with(prefix); });
  return sdk ? std::optional(recent_generation) : std::nullopt;
}

}  // namespace dagger::session
