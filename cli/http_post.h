// cli/http_post.h — one GraphQL request to a session on this machine. [blocking]
// Errors: unavailable when nobody answers or the answer is cut off; permission_denied for a wrong token.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/cancel.h"

namespace dagger::cli {

// The body of the answer to POST /query.
std::string post_query(std::uint16_t port, const std::string& token, const std::string& json,
                       const CancelToken& cancel);

}  // namespace dagger::cli
