// Its schema uses a keyword that the host does not check.
#include "zoo.h"
namespace {
struct Source final : zoo::QuietSource {
  static constexpr char settings_schema[] =
      R"({"type": "object", "properties": {"a": {"type": "string", "description": "x", "patern": "b"}}})";
  using QuietSource::QuietSource;
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "bad_schema", "1.0.0", "Zoo");
