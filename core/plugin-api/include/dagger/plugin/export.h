// dagger/plugin/export.h — the one line that makes a class a plugin:
//
//   DAGGER_PLUGIN(dagger::plugin::Source, GitSource, "git", "1.2.0", "Example Ltd");
//
// GitSource derives from the interface and has a constructor (dagger::plugin::Host&, std::string_view config_json).
// A public member "static constexpr char settings_schema[] = R"({...})";" goes into a section of the file: the host
// then checks the settings, and shows their descriptions, without running code of the plugin. Without it the host
// checks them against config_schema() after the constructor has run. Either way throw Error{invalid_argument} for what
// only the plugin can know to be wrong.
//
// dagger_add_plugin() links so that exactly two symbols leave the .so, manifest and factory, that nothing of another
// plugin is taken for its own, that a missing symbol is found at once, and that its code is never unloaded. The file
// has no RPATH and no RUNPATH: it moves with the engine's installed tree.
#pragma once
#include <cstring>
#include <type_traits>

#include "dagger/plugin/abi.h"
#include "dagger/plugin/plugin.h"

namespace dagger::plugin::detail {

template <std::size_t N>
constexpr void put(char (&to)[N], std::string_view from) {
  if (from.size() >= N) throw "text too long for the plugin manifest";  // a compile error: the manifest is constexpr
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = from[i];
}

constexpr dagger_plugin_manifest make_manifest(std::string_view kind, std::string_view name, std::string_view version,
                                               std::string_view vendor) {
  dagger_plugin_manifest m{};
  put(m.magic, DAGGER_MANIFEST_MAGIC);
  m.struct_size = sizeof m;
  m.api_major = DAGGER_PLUGIN_API_MAJOR;
  m.api_minor = DAGGER_PLUGIN_API_MINOR;
  put(m.abi_tag, DAGGER_ABI_TAG);
  put(m.kind, kind);
  put(m.name, name);
  put(m.version, version);
  put(m.vendor, vendor);
  return m;
}

template <std::size_t N>
struct Text {
  char bytes[N];
};
template <std::size_t N>
constexpr Text<N> copy_text(const char (&from)[N]) {
  Text<N> to{};
  for (std::size_t i = 0; i < N; ++i) to.bytes[i] = from[i];
  return to;
}
template <class Class, class = void>
struct SchemaOf {
  static constexpr Text<1> text = copy_text("");
};
template <class Class>
struct SchemaOf<Class, std::void_t<decltype(Class::settings_schema)>> {
  static constexpr auto text = copy_text(Class::settings_schema);
};

inline void copy_message(char* err, std::size_t size, const char* text) noexcept {
  if (size == 0) return;
  std::strncpy(err, text, size - 1);
  err[size - 1] = '\0';
}

template <class Interface, class Class>
int create(void* host, const char* config, void** out, char* err, std::size_t size) noexcept {
  try {
    Plugin* p = static_cast<Interface*>(new Class(*static_cast<Host*>(host), std::string_view(config)));
    *out = p;
    return 0;
  } catch (const Error& e) {
    copy_message(err, size, e.what());
    return static_cast<int>(e.code());
  } catch (const std::exception& e) {
    copy_message(err, size, e.what());
  } catch (...) {
    copy_message(err, size, "non-standard exception");
  }
  return static_cast<int>(Code::plugin_fault);
}

}  // namespace dagger::plugin::detail

#define DAGGER_PLUGIN(Interface, Class, Name, Version, Vendor)                                                   \
  extern "C" {                                                                                                   \
  extern const dagger_plugin_manifest dagger_plugin_manifest_v1                                                  \
      __attribute__((visibility("default"), section(DAGGER_MANIFEST_SECTION)));                                  \
  constexpr dagger_plugin_manifest dagger_plugin_manifest_v1 =                                                   \
      ::dagger::plugin::detail::make_manifest(Interface::kind, Name, Version, Vendor);                           \
  __attribute__((visibility("default"))) int dagger_plugin_create_v1(void* host, const char* config, void** out, \
                                                                     char* err, size_t err_size);                \
  int dagger_plugin_create_v1(void* host, const char* config, void** out, char* err, size_t err_size) {          \
    return ::dagger::plugin::detail::create<Interface, Class>(host, config, out, err, err_size);                 \
  }                                                                                                              \
  }                                                                                                              \
  __attribute__((used, section(DAGGER_SCHEMA_SECTION))) static constexpr auto dagger_plugin_schema =             \
      ::dagger::plugin::detail::SchemaOf<Class>::text;                                                           \
  static_assert(true, "")
