// core/session/generation.h — which generation of clients a request comes from, where nobody says a version: under
// `dagger run` an SDK has no flag to say it with. Told from what the SDKs of a generation do and others do not. Pure.
#pragma once
#include <optional>
#include <string_view>

#include "core/graphql/version.h"

namespace dagger::session {

// Stands for all clients since 0.12, the version from which on an entrypoint is used on request only.
inline constexpr graphql::Version recent_generation{1, 0, 0};
// Stands for all before 0.8, the version from which on clients say theirs.
inline constexpr graphql::Version early_generation{0, 6, 4};

// From the headers of a request; traced: it has a traceparent. Nothing when they could be anybody's.
std::optional<graphql::Version> generation_by_headers(std::string_view user_agent, std::string_view host, bool traced);

// From a request that asks for the engine's version: SDKs since 0.12 begin with that, older ones do not ask.
std::optional<graphql::Version> generation_by_question(std::string_view user_agent);

}  // namespace dagger::session
