// Its constructor refuses, as it should be done.
#include "zoo.h"
namespace {
struct Source final : zoo::QuietSource {
  Source(dagger::plugin::Host& h, std::string_view c) : QuietSource(h, c) {
    throw dagger::Error(dagger::Code::unavailable, "no kernel support; load the module zoo");
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "throws_error", "1.0.0", "Zoo");
