// core/plugin/manifest_reader.h — what a plugin file says about itself, read from the file: no code of it runs.
//
// Every offset in the file is untrusted. Errors: Error{corrupt_data} that says what was found, what is expected and
// what to do; the caller adds the file's name. Pure apart from read_manifest_file. [thread-safe]
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dagger/plugin/abi.h"
#include "dagger/plugin/error.h"

namespace dagger::plugin {

struct Manifest {
  std::string kind, name, version, vendor, abi_tag;
  unsigned api_major = 0, api_minor = 0;

  // "source plugin 'git'": how every message names a plugin.
  std::string label() const { return kind + " plugin '" + name + "'"; }
};

struct PluginFile {
  Manifest manifest;
  std::optional<std::string> settings_schema;  // where the plugin carries it in its file (section dagschem)
};

// Reads n bytes at offset into to; false when the file has fewer.
using ReadAt = std::function<bool(std::uint64_t offset, void* to, std::size_t n)>;

PluginFile read_plugin_file(std::uint64_t size, const ReadAt& read);
PluginFile read_plugin_file(std::string_view image);        // the whole file in memory
PluginFile read_plugin_file_fd(int fd);                     // any position; fd stays the caller's
Manifest to_manifest(const dagger_plugin_manifest& plain);  // checks magic, size and that every text ends

// Every reason why it does not fit this engine: unsupported (API, ABI), invalid_argument (kind, name). Empty kind or
// name: any.
std::vector<Error> misfits(const Manifest& manifest, std::string_view kind, std::string_view name);
// Throws the first of them.
void check_compatible(const Manifest& manifest, std::string_view kind, std::string_view name);

}  // namespace dagger::plugin
