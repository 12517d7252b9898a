#include "core/graphql/response.h"

namespace dagger::graphql {
namespace {

void append_data(const Response& response, std::string& out) {
  std::size_t at = 0;
  for (const auto& [offset, text] : response.long_texts) {
    out.append(response.data, at, offset - at);
    append_json_string(*text, out);
    at = offset;
  }
  out.append(response.data, at);
}

void append_path(const std::vector<PathStep>& path, std::string& out) {
  char separator = '[';
  for (const auto& step : path) {
    out += separator;
    if (const auto* key = std::get_if<std::string>(&step))
      append_json_string(*key, out);
    else
      out += std::to_string(std::get<std::size_t>(step));
    separator = ',';
  }
  out += ']';
}

void append_error(const ResponseError& error, std::string& out) {
  out += "{\"message\":";
  append_json_string(error.message, out);
  out += ",\"locations\":[";
  for (std::size_t i = 0; i < error.locations.size(); ++i) {
    const auto& [line, column] = error.locations[i];
    out +=
        (i == 0 ? "{\"line\":" : ",{\"line\":") + std::to_string(line) + ",\"column\":" + std::to_string(column) + "}";
  }
  out += ']';
  if (!error.path.empty()) {
    out += ",\"path\":";
    append_path(error.path, out);
  }
  if (!error.extensions.is_null()) {
    out += ",\"extensions\":";
    append_json(error.extensions, out);
  }
  out += '}';
}

}  // namespace

std::string Response::to_json() const {
  std::string out = "{";
  if (!data.empty()) {
    out += "\"data\":";
    append_data(*this, out);
  }
  if (!errors.empty()) {
    out += data.empty() ? "\"errors\":" : ",\"errors\":";
    char separator = '[';
    for (const auto& error : errors) {
      out += separator;
      append_error(error, out);
      separator = ',';
    }
    out += ']';
  }
  return out + "}";
}

Response response_of(const RequestError& error) { return {.data = {}, .errors = error.errors()}; }

}  // namespace dagger::graphql
