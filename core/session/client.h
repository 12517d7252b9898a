// core/session/client.h — what a session knows about the client it works for. A plain value, fixed when the session
// starts.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dagger::session {

struct Client {
  std::string workdir;                                      // absolute
  std::vector<std::pair<std::string, std::string>> env;     // of the process that started the session
  std::vector<std::pair<std::string, std::string>> labels;  // dagger.io/sdk.name, ...
  std::string version;                                      // of the API the client was made for; "" when nobody said

  const std::string* variable(std::string_view name) const {
    for (const auto& [key, value] : env)
      if (key == name) return &value;
    return nullptr;
  }
};

}  // namespace dagger::session
