// core/base/json.h — reading JSON from outside with bounds. Include <nlohmann/json.hpp> where the value is used.
#pragma once
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace dagger {

struct JsonLimits {
  std::size_t bytes = 16 << 20;
  int depth = 64;
};
// what: names the document in errors. Throws Error{invalid_argument} with the position.
nlohmann::json parse_json(std::string_view text, const char* what, const JsonLimits& limits = {});

}  // namespace dagger
