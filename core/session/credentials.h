// core/session/credentials.h — what the client's docker configuration knows about a registry. [blocking], pool threads.
//
// Reads $DOCKER_CONFIG/config.json or ~/.docker/config.json: "auths", and the credential helpers that "credHelpers" and
// "credsStore" name. Errors: corrupt_data for a malformed file, naming it; a helper that fails counts as having
// nothing.
#pragma once
#include <optional>
#include <string>

#include "core/base/cancel.h"
#include "core/base/process.h"
#include "core/link/messages/messages.h"
#include "core/session/client.h"

namespace dagger::session {

// realm: "registry-1.docker.io", "localhost:5000".
link::CredentialsReply find_credentials(const Client& client, Spawner& spawner, const std::string& realm,
                                        const CancelToken& cancel);

// The same from the text of a configuration; helper: what a credential helper says, asked by (name, key).
using AskHelper = std::optional<link::CredentialsReply> (*)(void* context, const std::string& helper,
                                                            const std::string& key);
link::CredentialsReply credentials_from(const std::string& config_json, const std::string& realm, AskHelper ask,
                                        void* context);

}  // namespace dagger::session
