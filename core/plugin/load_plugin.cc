// From a file to an object in this process: the checks, then the plugin's own code.
#include "core/plugin/loader.h"

namespace dagger::plugin {

LoadedPlugin load_plugin(const std::string& file, std::string_view kind, const PluginChoice& choice,
                         const MakeHost& make_host) try {
  const auto checked = check_plugin_file(file, kind, choice);
  const auto& schema = checked.contents.settings_schema;
  if (schema) check_plugin_settings(checked.contents.manifest.label(), *schema, choice);
  // Nothing of the plugin has run so far.
  auto loaded = run_plugin(checked, choice, make_host);
  if (!schema) check_plugin_settings(loaded.manifest.label(), loaded.instance->config_schema(), choice);
  return loaded;
} catch (const Error& e) {
  throw Error(e).in("cannot load plugin " + file);
}

}  // namespace dagger::plugin
