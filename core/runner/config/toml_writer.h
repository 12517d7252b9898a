// core/runner/config/toml_writer.h — values as TOML, for `config show` and `config example`. Pure. [thread-safe]
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/runner/config/keys.h"

namespace dagger::runner {

std::string toml_text(const std::string& text);  // a basic string
std::string toml_key(const std::string& key);    // bare where that is possible

// An inline value; texts under keys that look like those of secrets are masked.
std::string inline_toml(const nlohmann::json& value);
std::string masked_toml(const std::string& key, const nlohmann::json& value);

std::string to_toml(const std::string& text, Form form);
std::string to_toml(const std::vector<std::string>& texts, Form form);
std::string to_toml(bool value, Form form);
std::string to_toml(std::optional<bool> value, Form form);
std::string to_toml(unsigned value, Form form);
std::string to_toml(std::chrono::seconds value, Form form);
std::string to_toml(plugin::Isolation value, Form form);

// The value of a key; empty where it is nothing.
template <class Owner>
std::string value_of(const Key<Owner>& key, Owner& owner) {
  return std::visit([&](const auto at) { return to_toml(at(owner), key.form); }, key.at);
}

}  // namespace dagger::runner
