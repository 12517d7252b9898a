#include "core/session/http/message.h"

#include <algorithm>
#include <cctype>

#include "core/graphql/version.h"

namespace dagger::session {
namespace {

constexpr std::string_view graphql_type = "application/graphql-response+json";
constexpr std::string_view json_type = "application/json";

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls f with each trimmed piece between separators.
template <class F>
void for_each_piece(std::string_view text, char separator, F f) {
  for (;;) {
    const auto end = text.find(separator);
    f(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

double quality(std::string_view parameters) {
  double q = 1;
  for_each_piece(parameters, ';', [&](std::string_view parameter) {
    if (!parameter.starts_with("q=")) return;
    q = std::strtod(std::string(parameter.substr(2)).c_str(), nullptr);
  });
  return q;
}

bool prefers_graphql_type(std::string_view accept) {
  double graphql = -1, json = -1;
  bool graphql_first = false;
  for_each_piece(accept, ',', [&](std::string_view range) {
    const auto semicolon = range.find(';');
    const auto type = lower(trimmed(range.substr(0, semicolon)));
    const auto q = semicolon == std::string_view::npos ? 1.0 : quality(range.substr(semicolon + 1));
    if (type == graphql_type) {
      graphql = q;
      graphql_first = json < 0;
    } else if (type == json_type) {
      json = q;
    }
  });
  return graphql > 0 && (graphql > json || (graphql == json && graphql_first));
}

HttpResponse answer(bool as_graphql, unsigned status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = std::string(as_graphql ? graphql_type : json_type) + "; charset=utf-8";
  response.body = std::move(body);
  return response;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decode_form(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) throw HttpError(400, "the URL or form holds a broken % escape");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

graphql::Value checked_variables(graphql::Value variables) {
  if (!variables.is_null() && variables.as_map() == nullptr) throw HttpError(400, "\"variables\" must be an object");
  return variables;
}

graphql::Value parse_variables(std::string_view text) {
  if (trimmed(text).empty()) return {};
  try {
    return checked_variables(graphql::from_json_text(text));
  } catch (const Error& error) {
    throw HttpError(400, std::string("variables: ") + error.what());
  }
}

struct Parameters {
  std::optional<std::string> query;
  std::string operation_name;
  graphql::Value variables;
};

Parameters from_form(std::string_view text) {
  Parameters parameters;
  for (auto& [name, value] : parse_form(text)) {
    if (name == "query")
      parameters.query = std::move(value);
    else if (name == "operationName")
      parameters.operation_name = std::move(value);
    else if (name == "variables")
      parameters.variables = parse_variables(value);
  }
  return parameters;
}

Parameters from_json(std::string_view body) {
  graphql::Value document;
  try {
    document = graphql::from_json_text(body);
  } catch (const Error& error) {
    throw HttpError(400, std::string("the request's body is not JSON: ") + error.what());
  }
  if (document.as_map() == nullptr) throw HttpError(400, "the request's body must be a JSON object with a \"query\"");
  Parameters parameters;
  if (const auto* query = document.find("query"); query != nullptr && !query->is_null()) {
    if (query->as_string() == nullptr) throw HttpError(400, "\"query\" must be a string");
    parameters.query = *query->as_string();
  }
  if (const auto* name = document.find("operationName"); name != nullptr && !name->is_null()) {
    if (name->as_string() == nullptr) throw HttpError(400, "\"operationName\" must be a string");
    parameters.operation_name = *name->as_string();
  }
  if (const auto* variables = document.find("variables")) {
    const auto* text = variables->as_string();
    parameters.variables = text == nullptr ? checked_variables(*variables) : parse_variables(*text);
  }
  if (const auto* extensions = document.find("extensions");
      extensions != nullptr && !extensions->is_null() && extensions->as_map() == nullptr)
    throw HttpError(400, "\"extensions\" must be an object");
  return parameters;
}

Parameters from_body(const HttpRequest& request) {
  const auto content_type = request.header("content-type");
  const auto media_type = lower(trimmed(content_type.substr(0, content_type.find(';'))));
  if (media_type == "application/graphql") {
    Parameters parameters;
    parameters.query = request.body;
    return parameters;
  }
  // What is declared as a form may be JSON: curl -d says so of everything.
  const bool looks_like_json = trimmed(request.body).starts_with('{');
  if (media_type == "application/x-www-form-urlencoded" && !looks_like_json) return from_form(request.body);
  return from_json(request.body);
}

// What a target names on this server: also of the absolute form, which proxies use and every server must take (RFC
// 9112, section 3.2.2). Which host that names is no matter, as it is none in the Host field.
std::string_view origin_form(std::string_view target) {
  const auto scheme = lower(target.substr(0, 8));
  if (!scheme.starts_with("http://") && scheme != "https://") return target;
  target.remove_prefix(target.find("//") + 2);
  const auto end = target.find_first_of("/?");
  return end == std::string_view::npos ? "/" : target.substr(end);
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

std::vector<std::pair<std::string, std::string>> parse_form(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!text.empty()) {
    const auto end = std::min(text.find('&'), text.size());
    const auto piece = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto equals = std::min(piece.find('='), piece.size());
    if (!piece.empty())
      pairs.emplace_back(decode_form(piece.substr(0, equals)),
                         decode_form(piece.substr(std::min(equals + 1, piece.size()))));
  }
  return pairs;
}

std::optional<std::string> decode_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string out;
  unsigned bits = 0, count = 0;
  for (const char c : text) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const auto value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6 | static_cast<unsigned>(value)) & 0xffffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  return out;
}

bool authorized(std::string_view authorization, std::string_view token) {
  constexpr std::string_view scheme = "basic ";
  if (lower(authorization.substr(0, scheme.size())) != scheme) return false;
  const auto decoded = decode_base64(trimmed(authorization.substr(scheme.size())));
  if (!decoded) return false;
  const auto user = std::string_view(*decoded).substr(0, decoded->find(':'));
  if (user.size() != token.size()) return false;
  unsigned char different = 0;  // in constant time
  for (std::size_t i = 0; i < user.size(); ++i)
    different = static_cast<unsigned char>(different | (user[i] ^ token[i]));
  return different == 0;
}

HttpResponse unauthorized() {
  HttpResponse response;
  response.status = 401;
  response.headers = {{"WWW-Authenticate", "Basic realm=\"Access to the Dagger engine session\""}};
  return response;
}

GraphqlRequest graphql_request(const HttpRequest& request) {
  const auto target = origin_form(request.target);
  const auto mark = target.find('?');
  if (target.substr(0, mark) != "/query") throw HttpError(404, "nothing here: GraphQL is served at /query");
  auto parameters = from_form(mark == std::string_view::npos ? "" : target.substr(mark + 1));
  if (request.method == "POST") {
    if (!parameters.query) parameters = from_body(request);
  } else if (request.method != "GET") {
    throw HttpError(405, "send a query by POST or GET");
  }
  if (!parameters.query) throw HttpError(400, "no \"query\" was given");
  GraphqlRequest result;
  result.query = std::move(*parameters.query);
  result.operation_name = std::move(parameters.operation_name);
  result.variables = std::move(parameters.variables);
  result.version = graphql::Version::parse(request.header("x-dagger-client-version"));
  result.user_agent = request.header("user-agent");
  result.host = request.header("host");
  result.traced = !request.header("traceparent").empty();
  return result;
}

HttpResponse graphql_response(std::string_view accept, const graphql::Response& response) {
  const bool as_graphql = prefers_graphql_type(accept);
  const bool refused = response.data.empty();
  return answer(as_graphql, as_graphql && refused ? 400 : 200, response.to_json());
}

HttpResponse error_response(std::string_view accept, const HttpError& error) {
  graphql::Response response;
  response.errors.push_back({error.what(), {}, {}, {}});
  auto result = answer(prefers_graphql_type(accept), error.status(), response.to_json());
  if (error.status() == 405) result.headers.emplace_back("Allow", "GET, POST");
  return result;
}

}  // namespace dagger::session
