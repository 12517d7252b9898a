// core/plugin/isolation/isolate.h — loads a plugin into a process of its own.
//
// Sources, secret providers, networks and caches can be isolated. A snapshotter and an executor cannot: what they hand
// out (mounts, processes to wait for) belongs to the engine's own process. Which plugins are is said by the
// configuration (isolation = "process" or "none"); where it says nothing, files in the engine's own plugin directory,
// <install_dir>/lib/dagger/plugins/1, run inside the engine, all others in a process, where their kind allows
// it. The process starts when the plugin is loaded: its constructor has the last word on whether the engine starts, and
// what it serves must be known before the first call.
#pragma once
#include "core/plugin/isolation/log_reader.h"
#include "core/plugin/loader.h"

namespace dagger::plugin::isolation {

// path: of the file. Throws unsupported for isolation = "process" of a kind that cannot be.
bool is_isolated(std::string_view kind, const std::string& path, const PluginChoice& choice,
                 const std::string& install_dir);

// As load_plugin(), with the same checks before code of the file runs; the object speaks with the process. spawner and
// logs outlive it.
LoadedPlugin load_isolated(const std::string& file, std::string_view kind, const PluginChoice& choice,
                           const MakeHost& make_host, Spawner& spawner, LogReader& logs);

}  // namespace dagger::plugin::isolation
