// The only file that knows Boost.DLL.
#define BOOST_DLL_USE_STD_FS
#include "core/plugin/loader.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>

#include <boost/dll/shared_library.hpp>

#include "core/plugin/blame.h"

namespace dagger::plugin {
namespace {

namespace dll = boost::dll;

// Code that has run once is never unmapped: vtables, typeinfo, thread-locals and exit handlers of a plugin may be
// referenced until the process ends. dagger_add_plugin() links with -z nodelete; this holds for files linked otherwise.
void keep_for_ever(const std::string& path) {
  if (void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE)) ::dlclose(handle);
}

std::string demangled(const std::string& symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 && text ? text.get() : symbol;
}

// The dynamic linker's own text is the useful part of what Boost reports:
// "boost::dll::shared_library::load() failed (dlerror system message: FILE: undefined symbol: NAME): Bad file
// descriptor".
[[noreturn]] void explain_load_failure(const std::string& text) {
  constexpr std::string_view before = "dlerror system message: ", undefined = "undefined symbol: ";
  auto reason = text;
  if (const auto at = reason.find(before); at != std::string::npos) reason = reason.substr(at + before.size());
  if (const auto end = reason.rfind("): "); end != std::string::npos) reason.resize(end);
  if (const auto at = reason.find(undefined); at != std::string::npos) {
    auto symbol = reason.substr(at + undefined.size());
    symbol.resize(std::min(symbol.find_first_of(" ,)\t"), symbol.size()));
    throw Error(Code::unsupported,
                "needs the symbol '" + demangled(symbol) +
                    "', which neither it nor its libraries provide; link what defines it (dagger_add_plugin() "
                    "finds this when the plugin is built)");
  }
  throw Error(Code::unsupported, "cannot be loaded: " + reason + "; install the library that it needs, or rebuild it");
}

dll::shared_library map_library(const std::string& path) {
  const Blame blame(path.c_str(), "static initialisation");
  try {
    dll::shared_library library(path, dll::load_mode::rtld_now | dll::load_mode::rtld_local);
    keep_for_ever(path);
    return library;
  } catch (const std::exception& e) {
    explain_load_failure(e.what());
  }
}

Code code_from_plugin(int rc) {
  return rc >= static_cast<int>(Code::invalid_argument) && rc <= static_cast<int>(Code::internal)
             ? static_cast<Code>(rc)
             : Code::plugin_fault;
}

std::unique_ptr<Plugin> create(dll::shared_library& library, const Manifest& manifest, HostServices& host,
                               const std::string& settings) {
  auto& make = library.get<dagger_plugin_create_fn>(DAGGER_CREATE_SYMBOL);
  char message[2048] = "";
  void* out = nullptr;
  const auto label = manifest.label();
  const Blame blame(label.c_str(), "constructor");
  int rc = 0;
  try {
    rc = make(&static_cast<Host&>(host), settings.c_str(), &out, message, sizeof message);
  } catch (...) {  // only a factory that was not made by DAGGER_PLUGIN() can throw
    throw Error(Code::plugin_fault, "its factory threw an exception; make it with DAGGER_PLUGIN()");
  }
  message[sizeof message - 1] = '\0';
  if (rc != 0)
    throw Error(code_from_plugin(rc),
                std::string("its constructor refused: ") + (message[0] != '\0' ? message : "no reason given"));
  if (out == nullptr) throw Error(Code::plugin_fault, "its factory returned nothing; make it with DAGGER_PLUGIN()");
  return std::unique_ptr<Plugin>(static_cast<Plugin*>(out));
}

}  // namespace

LoadedPlugin run_plugin(const CheckedFile& file, const PluginChoice& choice, const MakeHost& make_host) {
  auto library = map_library(file.path);
  for (const char* symbol : {DAGGER_MANIFEST_SYMBOL, DAGGER_CREATE_SYMBOL})
    if (!library.has(symbol))
      throw Error(Code::plugin_fault, std::string("does not export ") + symbol + "; link it with dagger_add_plugin()");
  LoadedPlugin loaded;
  loaded.path = file.path;
  // What is mapped, and not what was in the file a moment ago, is what runs.
  loaded.manifest = to_manifest(library.get<const dagger_plugin_manifest>(DAGGER_MANIFEST_SYMBOL));
  check_compatible(loaded.manifest, file.contents.manifest.kind, choice.use);
  loaded.host = make_host(loaded.manifest);
  loaded.instance = create(library, loaded.manifest, *loaded.host, choice.settings);
  return loaded;
}

}  // namespace dagger::plugin
