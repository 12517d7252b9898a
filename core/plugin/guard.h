// core/plugin/guard.h — nothing but dagger::Error leaves a plugin, and every error names plugin and method.
//
// One guard class per interface; each owns its plugin. Besides translating exceptions a guard checks what is cheap to
// check of the answer (a pin has a digest, a view has a root) and marks the thread for the crash report. An answer that
// breaks the contract is Error{plugin_fault}. Guards are as thread-safe as what they guard. What a guard hands out
// (views, running execs, attachments, streams) must be destroyed before the guard.
#pragma once
#include <memory>

#include "core/plugin/loader.h"
#include "dagger/plugin/cache_store.h"
#include "dagger/plugin/executor.h"
#include "dagger/plugin/network.h"
#include "dagger/plugin/secret_provider.h"
#include "dagger/plugin/snapshotter.h"
#include "dagger/plugin/source.h"

namespace dagger::plugin {

std::unique_ptr<Source> guard_source(LoadedPlugin plugin);
std::unique_ptr<Snapshotter> guard_snapshotter(LoadedPlugin plugin);
// Its capability "executor.local/1" is guarded as well.
std::unique_ptr<Executor> guard_executor(LoadedPlugin plugin);
std::unique_ptr<Network> guard_network(LoadedPlugin plugin);
std::unique_ptr<CacheStore> guard_cache_store(LoadedPlugin plugin);
std::unique_ptr<SecretProvider> guard_secret_provider(LoadedPlugin plugin);

}  // namespace dagger::plugin
