// tests/support/second/prompt_secret.h — a secret that a person types at the client: "ask:TEXT" shows TEXT.
// [thread-safe]
#pragma once
#include "dagger/plugin/secret_provider.h"

namespace dagger::testing {

class PromptSecret final : public plugin::SecretProvider {
 public:
  static constexpr char settings_schema[] =
      R"({"type": "object", "description": "asks the client's terminal", "properties": {}})";

  PromptSecret(plugin::Host&, std::string_view) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::vector<std::string> schemes() const override { return {"ask"}; }
  UniqueFd open(std::string_view scheme, std::string_view rest, plugin::SecretContext& ctx) override;
};

}  // namespace dagger::testing
