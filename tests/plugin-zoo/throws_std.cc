// Its constructor throws an exception of the standard library.
#include <stdexcept>

#include "zoo.h"
namespace {
struct Source final : zoo::QuietSource {
  Source(dagger::plugin::Host& h, std::string_view c) : QuietSource(h, c) {
    throw std::runtime_error("libfoo said no");
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "throws_std", "1.0.0", "Zoo");
