// Its constructor throws something that is no exception class.
#include "zoo.h"
namespace {
struct Source final : zoo::QuietSource {
  Source(dagger::plugin::Host& h, std::string_view c) : QuietSource(h, c) { throw 42; }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "throws_other", "1.0.0", "Zoo");
