// core/runner/config/keys.h — every key of the operator's file, described once.
//
// The reader, the nearest name of a wrong key, `config show` and `config example` (which is also the reference in
// docs/configuration.md) all go by these rows; a new setting is a member of Config and a row here. Plain constants.
// [thread-safe]
#pragma once
#include <span>
#include <variant>

#include "core/runner/config/config.h"

namespace dagger::runner {

// What a text must look like, or how a number is written.
enum class Form { any, absolute_path, address, level, sha256, octal, count, secret };

// A key of a table whose values go into an Owner.
template <class Owner>
struct Key {
  template <class T>
  using At = T& (*)(Owner&);

  const char* section;  // "listen"; "" for the keys above all tables
  const char* name;
  const char* about;   // for the example file: what it is, and the default where the value does not show it
  const char* sample;  // TOML, where the default is nothing; null: told in words only
  Form form;
  std::variant<At<std::string>, At<std::vector<std::string>>, At<bool>, At<std::optional<bool>>, At<unsigned>,
               At<std::chrono::seconds>, At<plugin::Isolation>>
      at;

  std::string path() const { return *section == '\0' ? std::string(name) : section + std::string(".") + name; }
};

std::span<const Key<Config>> config_keys();                // in the order of the file
std::span<const Key<plugin::PluginChoice>> choice_keys();  // of every table of a plugin, but for "settings"
std::span<const Key<RegistryConfig>> registry_keys();      // of [registries."HOST"]

// A kind of plugin that is said as a list; "network" is said by class.
struct Kind {
  const char* name;
  const char* about;
  const char* sample;  // TOML, where the default is nothing
  std::vector<plugin::PluginChoice> Config::* choices;
  bool chain;   // the first that works is taken, and it runs inside the engine; else all are
  bool claims;  // knows the key "schemes"
};
std::span<const Kind> kinds();  // in the order of the file

}  // namespace dagger::runner
