// plugins/common/oci-registry/headers.h — the HTTP headers a registry client must understand. Pure; never throws.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dagger::oci {

// One challenge of WWW-Authenticate. Scheme and parameter names in lower case.
struct Challenge {
  std::string scheme;  // "bearer", "basic"
  std::map<std::string, std::string> parameters;
};
// Several challenges may stand in one header. What cannot be read ends the list.
std::vector<Challenge> parse_challenges(std::string_view header);

struct ContentRange {
  std::int64_t first = 0, last = 0;
  std::int64_t total = -1;  // -1: "*"
};
// "bytes 5-9/20"; nullopt for anything else.
std::optional<ContentRange> parse_content_range(std::string_view header);

// Seconds only; a date counts as absent.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view header);
// A non-negative number of digits only.
std::optional<std::int64_t> parse_number(std::string_view text);

std::string percent_encode(std::string_view text);  // all but unreserved characters

}  // namespace dagger::oci
