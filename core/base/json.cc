#include "core/base/json.h"

#include <nlohmann/json.hpp>

#include "dagger/plugin/error.h"

namespace dagger {

nlohmann::json parse_json(std::string_view text, const char* what, const JsonLimits& limits) {
  const std::string name = what;
  if (text.size() > limits.bytes)
    throw Error(Code::invalid_argument, name + " is larger than " + std::to_string(limits.bytes) + " bytes");
  const auto callback = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > limits.depth)
      throw Error(Code::invalid_argument, name + " is nested deeper than " + std::to_string(limits.depth));
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), callback);
  } catch (const nlohmann::json::exception& e) {
    throw Error(Code::invalid_argument, name + " is not valid JSON: " + e.what());
  }
}

}  // namespace dagger
