// core/solver/pins.h — what the runner remembers of a pin, so that its layers can be fetched later, also after a
// restart.
#pragma once
#include <optional>
#include <string>

#include "core/store/store.h"
#include "dagger/plugin/source.h"

namespace dagger::solver {

struct KnownPin {
  plugin::SourceRef ref;
  plugin::PinResult result;
};
std::string pack_pin(const KnownPin& pin);
KnownPin unpack_pin(const std::string& packed);  // throws corrupt_data
// Under which a reference finds its last pin: scheme, location, attributes and platform.
std::string pin_name(const plugin::SourceRef& ref);

// The store's layers for one layer of a pin; none if it was not delivered yet. [thread-safe]
// pin: see pinned_name().
std::optional<store::Stack> find_layer(store::Store& store, const std::string& pin, const plugin::SourceLayer& layer);
// Names a pin among those of all sources.
std::string pinned_name(const std::string& scheme, const std::string& pin_digest);

}  // namespace dagger::solver
