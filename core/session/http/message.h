// core/session/http/message.h — an HTTP request and response as plain values, and what GraphQL over HTTP makes of them.
// Pure.
//
// Errors: HttpError, with the status to answer and a text for the client.
#pragma once
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/session/endpoint.h"

namespace dagger::session {

struct HttpRequest {
  std::string method, target;                                // "POST", "/query?..."; also "http://host/query"
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string_view header(std::string_view name) const;  // "" when it is not there
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type, body;
  std::vector<std::pair<std::string, std::string>> headers;
};

class HttpError final : public std::exception {
 public:
  HttpError(unsigned status, std::string message) : status_(status), message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  unsigned status() const noexcept { return status_; }

 private:
  unsigned status_;
  std::string message_;
};

// The user name of basic authentication is the token, whatever the password.
bool authorized(std::string_view authorization, std::string_view token);
HttpResponse unauthorized();

// POST with JSON, form or a bare document, or GET; parameters in the URL win over the body.
GraphqlRequest graphql_request(const HttpRequest& request);
// Answers in the media type that the client accepts first; the status follows from the type.
HttpResponse graphql_response(std::string_view accept, const graphql::Response& response);
HttpResponse error_response(std::string_view accept, const HttpError& error);

// "a=1&b=%20" in order; throws HttpError{400} for broken escapes.
std::vector<std::pair<std::string, std::string>> parse_form(std::string_view text);
// Standard base64; nothing for what is none.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace dagger::session
